"""Pictures, sound and documents as parts of a Gemini request.

Data goes inline, addresses as they are. The type of what lies at an address is read off its
ending; where that says nothing Google finds out itself.
"""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import unquote_to_bytes, urlsplit

from glasslipper.kernel.errors import InvalidRequest, Unsupported
from glasslipper.kernel.messages import AudioPart, FilePart, ImagePart

Json = dict[str, object]

_FILES_PREFIX = "files/"
_TYPES = {
    "csv": "text/csv",
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "html": "text/html",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "json": "application/json",
    "md": "text/markdown",
    "mov": "video/quicktime",
    "mp3": "audio/mp3",
    "mp4": "video/mp4",
    "pdf": "application/pdf",
    "png": "image/png",
    "txt": "text/plain",
    "wav": "audio/wav",
    "webm": "video/webm",
    "webp": "image/webp",
}


def media_part(part: ImagePart | AudioPart | FilePart, *, base_url: str) -> Json:
    """Return the part for data or an address; ids of Google's files lie under `base_url`.

    Raises:
        InvalidRequest: What should be a `data:` URL is none.
        Unsupported: It is a file that another provider keeps.
    """
    match part:
        case AudioPart():
            return _inline(f"audio/{part.format}", part.data)
        case ImagePart():
            return _located(part.url)
        case FilePart(url=None):
            file_id = part.file_id or ""
            if not file_id.startswith(_FILES_PREFIX):
                raise Unsupported("The file is kept by another provider; send its data instead.")
            return {"fileData": {"fileUri": f"{base_url}/{file_id}"}}
        case FilePart():
            return _located(part.url or "")


def _located(url: str) -> Json:
    if url[:5].lower() == "data:":
        return _data(url[5:])
    try:
        path = urlsplit(url).path
    except ValueError:
        raise InvalidRequest("An address of a picture or file is malformed.") from None
    kind = _TYPES.get(path.rpartition(".")[2].lower())
    file: Json = {"fileUri": url}
    return {"fileData": file | ({"mimeType": kind} if kind else {})}


def _data(rest: str) -> Json:
    head, comma, data = rest.partition(",")
    if not comma:
        raise InvalidRequest("A `data:` URL has no comma.")
    kind, *parameters = head.split(";")
    if "base64" not in parameters:
        data = b64encode(unquote_to_bytes(data)).decode("ascii")
    return _inline(kind or "text/plain", data)


def _inline(kind: str, data: str) -> Json:
    return {"inlineData": {"mimeType": kind, "data": data}}
