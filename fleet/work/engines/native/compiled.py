"""From LLVM's intermediate code to a function for this processor, with llvmlite.

Only LLVM's code generator runs, no optimiser: hoisting, sharing and folding are done where the code is written (`code`), and
what is left would cost more time at start than it saves. LLVM would also reorder the instructions; it keeps their order
here, because the streams are interleaved on purpose. llvmlite is an extra, and is imported when it is first asked for.
"""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass
from typing import Any, Final

_OPTIMISATION: Final = 1
"""Of the code generator, 0 to 3; a higher one takes longer and hashes no faster."""


@dataclass(frozen=True, slots=True)
class Processor:
    """What the code is made for: LLVM's names of the platform, the processor, and the features that it has.

    `lacks`: those that others of its name have, and this one (a virtual machine's) has not.
    """

    triple: str
    cpu: str
    features: frozenset[str]
    lacks: frozenset[str] = frozenset()

    @property
    def architecture(self) -> str:
        """x86_64 or aarch64, by whichever of its names, or another."""
        name = self.triple.partition("-")[0]
        return {"amd64": "x86_64", "arm64": "aarch64"}.get(name, name)


@dataclass(frozen=True, slots=True)
class Kernel:
    """A function in machine code. It is there as long as this is, and may be called from any number of threads.

    Calls release the interpreter's lock; nothing checks the arguments.
    """

    call: Any
    machine_code: Any


@functools.cache
def this_processor() -> Processor:
    """The one that we run on.

    Raises:
        ImportError: there is no llvmlite.
        OSError: its library does not load.
        RuntimeError: LLVM does not know the processor.
    """
    llvm = _llvm()
    features = llvm.get_host_cpu_features()
    there = frozenset(name for name, has in features.items() if has)
    return Processor(llvm.get_process_triple(), llvm.get_host_cpu_name(), there, frozenset(features) - there)


def assembly(text: str, processor: Processor) -> str:
    """The assembly of a module, for any processor."""
    llvm = _llvm()
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine, module = _machine(processor), _module(text)
    return str(machine.emit_assembly(module))


def kernel(text: str, name: str, argument_types: list[Any]) -> Kernel:
    """A module's function, for this processor.

    Raises:
        RuntimeError: LLVM does not accept the code.
    """
    llvm = _initialised()
    engine = llvm.create_mcjit_compiler(_module(text), _machine(this_processor()))
    engine.finalize_object()
    function = ctypes.CFUNCTYPE(None, *argument_types)(engine.get_function_address(name))
    return Kernel(function, engine)


def _llvm() -> Any:
    """The library."""
    import llvmlite.binding

    return llvmlite.binding


@functools.cache
def _initialised() -> Any:
    """The library with its code generator for this processor, once in a process."""
    llvm = _llvm()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.set_option("", "-enable-misched=false")
    return llvm


def _module(text: str) -> Any:
    """The code, parsed and verified."""
    module = _llvm().parse_assembly(text)
    module.verify()
    return module


def _machine(processor: Processor) -> Any:
    """The code generator for a processor."""
    target = _llvm().Target.from_triple(processor.triple)
    features = [f"+{name}" for name in processor.features] + [f"-{name}" for name in processor.lacks]
    return target.create_target_machine(
        cpu=processor.cpu, features=",".join(features), opt=_OPTIMISATION, reloc="pic", codemodel="jitdefault", jit=True
    )
