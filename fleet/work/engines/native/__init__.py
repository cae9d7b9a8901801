"""Native code for SHA-256d, made at run time for the processor that it runs on.

`fleet.work.sha256` on the abstract word of `word` gives the text of LLVM's intermediate code (`code`); `instructions` takes
its steps by a processor's SHA instructions; `kernels` puts the loops around it; `compiled` makes a function of the text with
llvmlite, which is imported there alone; `engine` is what the rest of hashwatt sees.
"""
