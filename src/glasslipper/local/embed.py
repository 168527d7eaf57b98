"""Static word vectors: a text's vector is the mean of its tokens' vectors, scaled to length one.

The matrix is mapped from the file, never copied whole; the first components mean most, so a
shorter vector is the beginning of the long one, scaled again. Reads the two files itself and
runs no code that came with them.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from glasslipper.kernel.errors import InvalidRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DIMENSIONS = (64, 128, 256)
"""The lengths that a vector may be cut to."""

_TENSOR = "embedding.weight"
_MOST_HEADER_BYTES = 1 << 20
_BLOCK_TOKENS = 4096


class Embedded(NamedTuple):
    """One row for each text, and how many tokens they had together."""

    vectors: NDArray[np.float32]
    tokens: int


class StaticVectors:
    """A loaded embedding model; any thread may use it."""

    def __init__(self, *, weights: Path, tokenizer: Path) -> None:
        """Map the weights (safetensors) and read the tokenizer (Hugging Face JSON).

        Raises:
            InvalidRequest: The weights are not what they should be.
        """
        import numpy as np  # costs a quarter of a second, which only embeddings need
        from kitoken import Kitoken

        self._numpy = np
        offset, rows, columns = _tensor(weights)
        mapped = np.memmap(weights, np.float16, "r", offset=offset, shape=(rows, columns))
        self._matrix: NDArray[np.float16] = np.asarray(mapped)  # as quick to index as any array
        self._tokenizer = Kitoken.from_tokenizers_file(str(tokenizer))

    def embed(self, texts: Sequence[str], dimensions: int | None = None) -> Embedded:
        """Return the vectors of the texts, of 256 components or as many as asked for.

        Raises:
            InvalidRequest: A text is empty, or there are no vectors of that length.
        """
        np = self._numpy
        size = DIMENSIONS[-1] if dimensions is None else dimensions
        if size not in DIMENSIONS:
            raise InvalidRequest(
                f"There are no vectors of {size} dimensions; there are of "
                f"{', '.join(map(str, DIMENSIONS))}.",
                param="$.dimensions",
            )
        vectors = np.empty((len(texts), size), dtype=np.float32)
        tokens = 0
        for row, text in enumerate(texts):
            ids = self._tokenizer.encode(text, True)
            if not ids:
                raise InvalidRequest("There is nothing to embed.", param=f"$.input[{row}]")
            tokens += len(ids)
            vectors[row] = self._sum(ids)[:size]
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return Embedded(vectors / np.maximum(lengths, np.float32(1e-12)), tokens)

    def _sum(self, ids: list[int]) -> NDArray[np.float32]:
        """Return the sum of the tokens' vectors, which points where their mean does."""
        np = self._numpy
        sums = [
            np.add.reduce(self._matrix[ids[start : start + _BLOCK_TOKENS]], dtype=np.float32)
            for start in range(0, len(ids), _BLOCK_TOKENS)
        ]
        return sums[0] if len(sums) == 1 else np.add.reduce(sums)


def _tensor(path: Path) -> tuple[int, int, int]:
    """Return where in a safetensors file the matrix begins, its rows and its columns."""
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > min(_MOST_HEADER_BYTES, size_bytes):
            raise InvalidRequest(f"{path} is not a safetensors file.")
        header = cast("dict[str, dict[str, object]]", json.loads(file.read(length)))
    tensor = header.get(_TENSOR, {})
    shape = cast("list[int]", tensor.get("shape", []))
    begin, end = cast("list[int]", tensor.get("data_offsets", [0, 0]))
    offset = 8 + length + begin
    is_right = tensor.get("dtype") == "F16" and len(shape) == 2 and shape[1] == DIMENSIONS[-1]
    if not is_right or end - begin != 2 * shape[0] * shape[1] or 8 + length + end > size_bytes:
        raise InvalidRequest(f"{path} holds no matrix of half-precision vectors.")
    return offset, shape[0], shape[1]
