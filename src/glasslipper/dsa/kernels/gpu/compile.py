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

from . import warps_to_pick
from .attend import attend_kernel, locate_kernel, merge_kernel
from .divergence import divergence_kernel
from .pick import pick_kernel
from .score import score_kernel, score_one_kernel

ARCHITECTURES = (80, 86, 89, 90, 100, 120)

_I32, _F32 = "i32", "fp32"
_ASKED = {
    **{"index": "*i8", "scales": "*fp32", "table_BP": "*i32"},
    **dict.fromkeys(("P", "C", "stride", "page_bytes"), _I32),
}
_SCORE = {
    **{"codes_BTJI": "*i8", "weight_BTJ": "*fp32", "at_BT": "*i32"},
    **{"score_BUC": "*fp32", "T": _I32, **_ASKED},
}
_SCORE_ONE = {
    **{"codes_BJI": "*i8", "weight_BJ": "*fp32", "at_B": "*i32", "score_BC": "*fp32", **_ASKED},
}
_PICK = {
    **{"score_RC": "*fp32", "index_RC": "*i32", "picked_score": "*fp32", "picked_index": "*i32"},
    **dict.fromkeys(("C", "share", "k", "rows", "apart"), _I32),
}
_LOCATE = {
    **{"index_UK": "*i32", "table_UP": "*i32", "row_UK": "*i32", "K": _I32, "stride": _I32},
}
_ATTEND = {
    **{"q_UNHD": "*bf16", "at_UN": "*i32", "index_UK": "*i32", "row_UK": "*i32"},
    **{"kv": "*bf16", "out_SUNHD": "*fp32", "lse_SUNH": "*fp32", "K": _I32, "scale": _F32},
}
_MERGE = {
    **{"out_SQD": "*fp32", "lse_SQ": "*fp32", "merged_QD": "*bf16", "merged_lse_Q": "*fp32"},
    "S": _I32,
}
_DIVERGENCE = {
    **{"score_TS": "*fp32", "teacher_TS": "*fp32", "loss_T": "*fp32", "gradient_TS": "*fp32"},
    "S": _I32,
}
_PAGES = {"PAGE": 64, "RUN": 16, "COLUMNS": 128}
_HEADS_8B = {"H": 32, "G": 8, "D": 128, "TOKENS": 64, "UPCAST": False}
_8B, _V32 = {"J": 4, "I": 64, **_PAGES}, {"J": 64, "I": 128, **_PAGES}
_EXACT = {"enable_fp_fusion": False}

KERNELS = {
    "score_one": (score_one_kernel, _SCORE_ONE, _8B, {**_EXACT, "num_warps": 2}),
    "score_one_v32": (score_one_kernel, _SCORE_ONE, _V32, {**_EXACT, "num_warps": 2}),
    "score": (score_kernel, _SCORE, {**_8B, "BLOCK": 16, "ROWS": 64}, _EXACT),
    "score_v32": (score_kernel, _SCORE, {**_V32, "BLOCK": 1, "ROWS": 64}, _EXACT),
    "pick": (
        pick_kernel,
        _PICK,
        {"WIDTH": 16384, "TILE": 8192, "KEPT": 2048, "HAS_INDEX": False},
        {"num_warps": warps_to_pick(16384, is_many=False)},
    ),
    "pick_again": (
        pick_kernel,
        _PICK,
        {"WIDTH": 8192, "TILE": 4096, "KEPT": 2048, "HAS_INDEX": True},
        {"num_warps": warps_to_pick(8192, is_many=False)},
    ),
    "pick_many": (
        pick_kernel,
        _PICK,
        {"WIDTH": 16384, "TILE": 2048, "KEPT": 2048, "HAS_INDEX": False},
        {"num_warps": warps_to_pick(16384, is_many=True)},
    ),
    "locate": (locate_kernel, _LOCATE, {"TOKENS": 1024, "PAGE": 64}, {}),
    "decode": (attend_kernel, _ATTEND, {**_HEADS_8B, "N": 1, "ROWS": 16}, {"num_stages": 2}),
    "prefill": (attend_kernel, _ATTEND, {**_HEADS_8B, "N": 16, "ROWS": 64}, {"num_stages": 3}),
    "merge": (merge_kernel, _MERGE, {"D": 128, "SPLITS": 8}, {}),
    "divergence": (divergence_kernel, _DIVERGENCE, {"TILE": 1024}, {}),
}
"""Name → kernel, the types of its arguments, its constants, and how it is launched."""


def build(name: str, architecture: int) -> dict[str, object]:
    """Compile one kernel for one architecture; return what is worth knowing about it."""
    kernel, types, constants, options = KERNELS[name]
    signature = {**types, **dict.fromkeys(constants, "constexpr")}
    built = triton.compile(
        ASTSource(fn=kernel, signature=signature, constexprs=constants),
        target=GPUTarget("cuda", architecture, 32),
        options=options,
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
