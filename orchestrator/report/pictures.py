"""Instances as small pictures: PNG in data URIs, for features that are images."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from estimators.arrays import AnyArray
from workers.mapped_array import is_mapped

MOST_SEEN = 4096
"""Rows whose range is looked at where features stay in their file."""

CHANNELS = (1, 3, 4)
_BYTES_FOR_PICTURES = 1_000_000
_LARGEST, _SMALLEST = 64, 20
# Above this a picture in colours is reduced to a palette; below it that would cost more than it saves.
_COLOURS = 64


@dataclass(frozen=True, slots=True)
class Drawing:
    """How feature rows become pictures. shape: of one row. low, high: the features drawn black and white."""

    shape: tuple[int, ...]
    low: float
    high: float
    longest_side: int

    @property
    def enlarged(self) -> bool:
        """The pictures have so few pixels that they should be shown with sharp edges."""
        return max(_height_width(self.shape)) <= self.longest_side

    def uri(self, features: AnyArray) -> str:
        """One instance's features as a `data:image/png` address."""
        image = Image.fromarray(self._pixels(features))
        image.thumbnail((self.longest_side, self.longest_side), Image.Resampling.LANCZOS)
        if image.mode == "RGB":
            image = image.quantize(_COLOURS)
        content = io.BytesIO()
        image.save(content, format="PNG", optimize=True)
        return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode("ascii")

    def _pixels(self, features: AnyArray) -> AnyArray:
        row = np.asarray(features, dtype=np.float64).reshape(self.shape)
        if row.ndim == 3 and not _channels_last(self.shape):
            row = np.moveaxis(row, 0, -1)
        span = self.high - self.low or 1.0
        scaled = np.nan_to_num((row - self.low) / span, nan=0.0, posinf=1.0, neginf=0.0)
        pixels = (255.0 * np.clip(scaled, 0.0, 1.0)).round().astype(np.uint8)
        return (
            pixels[..., 0]
            if pixels.ndim == 3 and pixels.shape[-1] == 1
            else pixels[..., :3]
            if pixels.ndim == 3
            else pixels
        )


def drawing_of(features: AnyArray, image_shape: tuple[int, ...] | None, *, pictures: int) -> Drawing | None:
    """How to draw these features [n, ...], or None where they are not images.

    They are where `image_shape` holds as many numbers as a row has, or where a row itself is [H, W], [H, W, C] or
    [C, H, W]. pictures: about how many the page will show; more pictures are smaller ones.
    """
    shape = _shape(features, image_shape)
    if shape is None:
        return None
    if features.dtype == np.uint8:
        low, high = 0.0, 255.0
    else:
        seen = features[:MOST_SEEN] if is_mapped(features) else features
        finite = seen[np.isfinite(seen)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return Drawing(shape, low, high, _side(shape, pictures))


def _shape(features: AnyArray, image_shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
    own = features.shape[1:]
    shape = image_shape if image_shape is not None else own
    if len(shape) not in {2, 3} or int(np.prod(shape)) != int(np.prod(own)) or min(_height_width(shape)) < 2:
        return None
    if len(shape) == 3 and shape[-1] not in CHANNELS and shape[0] not in CHANNELS:
        return None
    return tuple(shape)


def _side(shape: tuple[int, ...], pictures: int) -> int:
    """The longest side [pixels] at which so many pictures fit the page: about 0.8 bytes a pixel, 4/3 in base64."""
    affordable = int((_BYTES_FOR_PICTURES / max(1, pictures) / 1.1) ** 0.5)
    return min(max(_height_width(shape)), max(_SMALLEST, min(_LARGEST, affordable)))


def _channels_last(shape: tuple[int, ...]) -> bool:
    return shape[-1] in CHANNELS


def _height_width(shape: tuple[int, ...]) -> tuple[int, int]:
    if len(shape) == 2:
        return shape[0], shape[1]
    return (shape[0], shape[1]) if _channels_last(shape) else (shape[1], shape[2])
