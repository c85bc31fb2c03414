"""Pictures from outside, made into JPEG files that are safe to keep and to show."""

from __future__ import annotations

import base64
import binascii
import warnings
from io import BytesIO

from PIL import Image, UnidentifiedImageError

from orchestrator.agents.model import Picture

MAX_BASE64_CHARS = 40_000_000  # 30 MB of picture; what OpenAI draws takes about 5 MB at most
MAX_PIXELS = 20_000_000
MAX_SIDE_PIXELS = 2_048
QUALITY = 88
FORMATS = ("PNG", "JPEG", "WEBP")


def jpeg_from_base64(encoded: str) -> Picture:
    """Decode a PNG, JPEG or WebP picture and write it anew as JPEG, at most 2,048 pixels a side.

    Writing it anew drops whatever else the file carries (metadata, appended data).

    Raises:
        ValueError: it is not such a picture, or larger than 30 MB or 20 million pixels. The size is read
            from the header, so a decompression bomb is refused before it unpacks.
    """
    if len(encoded) > MAX_BASE64_CHARS:
        raise ValueError("it is larger than 30 MB")
    try:
        content = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise ValueError("it is not base64") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is stricter
            image = Image.open(BytesIO(content), formats=FORMATS)
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"it has {image.width} x {image.height} pixels, more than 20 million")
        return encode(image)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError):
        raise ValueError("it is not a whole PNG, JPEG or WebP file") from None


def encode(image: Image.Image) -> Picture:
    """Write ``image`` as JPEG, on white where it is transparent."""
    opaque = image
    if image.mode != "RGB":
        layered = image.convert("RGBA")
        opaque = Image.new("RGB", layered.size, "white")
        opaque.paste(layered, mask=layered.getchannel("A"))
    opaque.thumbnail((MAX_SIDE_PIXELS, MAX_SIDE_PIXELS))
    buffer = BytesIO()
    opaque.save(buffer, "JPEG", quality=QUALITY, optimize=True, subsampling=0)
    return Picture(buffer.getvalue(), *opaque.size)
