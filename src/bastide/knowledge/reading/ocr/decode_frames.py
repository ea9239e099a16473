"""The frames of a picture file, decoded by a process of its own: run as a script, never imported.

Decoders are native code, and the file is a stranger's. Input: the file. Arguments: frames and pixels (of all frames
together) at most, and the folder of Pillow. Output, for each frame: one line of JSON {"width", "height", "dpi"}, then
its bytes, one a pixel, as it is shown. Last a line {"end": frames} or {"error", "what"}.
"""

import io
import json
import sys
import warnings
from typing import Any, BinaryIO

_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "PPM")
_PAGED = frozenset({"TIFF"})
_CENTIMETRES = 3


def frames(data: bytes, frames_max: int, pixels_max: int, out: BinaryIO) -> dict[str, Any]:
    """Writes every frame to `out`; what to say last."""
    from PIL import Image, ImageOps  # noqa: PLC0415  # only once the folder is known

    Image.MAX_IMAGE_PIXELS = None  # counted here, before anything is decoded
    warnings.simplefilter("ignore")
    left = pixels_max
    with Image.open(io.BytesIO(data), formats=_FORMATS) as file:
        count = int(getattr(file, "n_frames", 1)) if file.format in _PAGED else 1
        if count > frames_max:
            return {"error": "bomb", "what": f"The picture has {count:,} pages; the limit is {frames_max:,}."}
        for number in range(count):
            file.seek(number)
            left -= file.width * file.height
            if left < 0:
                size = f"{file.width:,} x {file.height:,}"
                return {"error": "bomb", "what": f"With {size} the picture has more than {pixels_max:,} pixels."}
            shown = ImageOps.exif_transpose(file)
            gray = _gray(shown, Image)
            header = {"width": gray.width, "height": gray.height, "dpi": _dpi(file)}
            out.write(json.dumps(header).encode("ascii") + b"\n" + gray.tobytes())
    return {"end": count}


def _gray(frame: Any, image: Any) -> Any:
    """Shades of gray; what is transparent is paper."""
    if frame.mode in {"I;16", "I;16B", "I;16L", "I", "F"}:
        low, high = frame.convert("F").getextrema()
        scale = 255 / (high - low) if high > low else 1.0
        return frame.convert("F").point(lambda shade: shade * scale - low * scale).convert("L")
    if frame.mode in {"RGBA", "LA", "PA"} or "transparency" in frame.info:
        front = frame.convert("RGBA")
        paper = image.new("RGBA", front.size, "white")
        return image.alpha_composite(paper, front).convert("L")
    return frame.convert("L")


def _dpi(file: Any) -> float:
    """0 where the file does not say, or says nonsense."""
    try:
        dpi = float(file.info.get("dpi", (0, 0))[0])
    except (TypeError, ValueError, IndexError, ZeroDivisionError):
        return 0.0
    return dpi if 0 < dpi < 1e5 else 0.0


def main() -> None:
    """Reads standard input, writes standard output."""
    frames_max, pixels_max = int(sys.argv[1]), int(sys.argv[2])
    sys.path.append(sys.argv[3])
    try:
        last = frames(sys.stdin.buffer.read(), frames_max, pixels_max, sys.stdout.buffer)
    except MemoryError:
        last = {"error": "bomb", "what": "Decoding the picture would take more memory than a document may have."}
    except Exception as error:
        unknown = type(error).__name__ == "UnidentifiedImageError"
        last = {"error": "damaged", "what": "its format is not known" if unknown else str(error)[:200]}
    sys.stdout.buffer.write(json.dumps(last).encode("ascii") + b"\n")


if __name__ == "__main__":
    main()
