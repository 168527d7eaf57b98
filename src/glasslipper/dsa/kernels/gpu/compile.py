"""Builds every Triton kernel for architectures that are not there, and looks at what came out.

    python -m glasslipper.dsa.kernels.gpu.compile            all of them
    python -m glasslipper.dsa.kernels.gpu.compile 80 120     these

Needs no GPU and no driver: Triton's wheel holds its own assembler. One JSON line for each kernel
and architecture: bytes of the binary, shared memory, and the matrix instructions it uses.
"""

from __future__ import annotations

import json
import os
import re
import sys

if os.environ.pop("TRITON_INTERPRET", None):
    raise SystemExit("the interpreter compiles nothing: unset TRITON_INTERPRET")

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from .attend import attend_kernel, merge_kernel
from .divergence import divergence_kernel
from .keep import keep_kernel
from .score import score_kernel

ARCHITECTURES = (80, 86, 89, 90, 100, 120)

_I32, _F32 = "i32", "fp32"
_SCORE = {
    **{"codes_BTJI": "*i8", "weight_BTJ": "*fp32", "at_BT": "*i32", "index": "*i8"},
    **{"scales": "*fp32", "table_BP": "*i32", "score_BTC": "*fp32"},
    **dict.fromkeys(("T", "P", "start", "C", "page_bytes"), _I32),
}
_KEEP = {
    **{"score_RC": "*fp32", "index_RC": "*i32", "held_score_R": "*fp32", "held_index_R": "*i32"},
    **{"count_R": "*i32", "least_R": "*fp32"},
    **dict.fromkeys(("start", "C", "share", "k", "is_last"), _I32),
}
_ATTEND = {
    **{"q_UNHD": "*bf16", "at_UN": "*i32", "index_UK": "*i32", "table_UP": "*i32"},
    **{"kv": "*bf16", "out_SUNHD": "*fp32", "lse_SUNH": "*fp32", "K": _I32, "P": _I32},
    "scale": _F32,
}
_MERGE = {
    **{"out_SQD": "*fp32", "lse_SQ": "*fp32", "merged_QD": "*bf16", "merged_lse_Q": "*fp32"},
    "S": _I32,
}
_DIVERGENCE = {
    **{"score_TS": "*fp32", "teacher_TS": "*fp32", "loss_T": "*fp32", "gradient_TS": "*fp32"},
    "S": _I32,
}
_HEADS_8B = {"H": 32, "G": 8, "D": 128, "TOKENS": 64, "PAGE": 64, "UPCAST": False}

KERNELS = {
    "score": (
        score_kernel,
        _SCORE,
        {"J": 4, "I": 64, "ROWS": 16, "COLUMNS": 64, "PAGE": 64, "RUN": 16},
    ),
    "score_v32": (
        score_kernel,
        _SCORE,
        {"J": 64, "I": 128, "ROWS": 64, "COLUMNS": 128, "PAGE": 64, "RUN": 16},
    ),
    "keep": (keep_kernel, _KEEP, {"ROOM": 4096, "TILE": 1024, "HAS_INDEX": False}),
    "join": (keep_kernel, _KEEP, {"ROOM": 4096, "TILE": 1024, "HAS_INDEX": True}),
    "decode": (attend_kernel, _ATTEND, {**_HEADS_8B, "N": 1, "ROWS": 16}),
    "prefill": (attend_kernel, _ATTEND, {**_HEADS_8B, "N": 16, "ROWS": 64}),
    "merge": (merge_kernel, _MERGE, {"D": 128, "SPLITS": 8}),
    "divergence": (divergence_kernel, _DIVERGENCE, {"TILE": 1024}),
}
"""Name → kernel, the types of its arguments, and its constants."""


def build(name: str, architecture: int) -> dict[str, object]:
    """Compile one kernel for one architecture; return what is worth knowing about it."""
    kernel, types, constants = KERNELS[name]
    signature = {**types, **dict.fromkeys(constants, "constexpr")}
    built = triton.compile(
        ASTSource(fn=kernel, signature=signature, constexprs=constants),
        target=GPUTarget("cuda", architecture, 32),
        options={"enable_fp_fusion": not name.startswith("score")},
    )
    ptx = built.asm["ptx"]
    return {
        "kernel": name,
        "architecture": architecture,
        "cubin_bytes": len(built.asm["cubin"]),
        "shared_bytes": built.metadata.shared,
        "matrix": sorted(
            set(re.findall(r"(?:wgmma|mma|tcgen05)[\w.:]*mma[\w.:]*|mma\.sync[\w.]*", ptx))
        ),
        "fused_floats": len(re.findall(r"\bfma\.rn\.f32", ptx)),
    }


def main() -> None:
    """Build what was asked for."""
    for architecture in map(int, sys.argv[1:] or ARCHITECTURES):
        for name in KERNELS:
            sys.stdout.write(json.dumps(build(name, architecture)) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
