"""Readers of the last Record: Prometheus, MQTT, later the page. They import no driver and no `act`."""
