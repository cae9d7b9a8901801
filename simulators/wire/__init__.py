"""One file per dialect: servers written from the vendors' documents and captures, not from our drivers."""
