"""Image messages as the libraries give them, made by hand."""

import io
from types import SimpleNamespace

import numpy as np
from PIL import Image


def raw(pixels, encoding, *, padding=0, bigendian=0, height=None):
    """A raw image of (H, W) or (H, W, C); of planar ones the rows of colour count as pixels."""
    rows = np.ascontiguousarray(pixels)
    if rows.dtype.itemsize > 1:
        rows = rows.astype(rows.dtype.newbyteorder(">" if bigendian else "<"))
    width = pixels.shape[1]
    rows = rows.view(np.uint8).reshape(len(rows), -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=255)
    return SimpleNamespace(
        height=height or len(rows),
        width=width,
        encoding=encoding,
        is_bigendian=bigendian,
        step=rows.shape[1],
        data=rows.tobytes(),
    )


def compressed(pixels, form="png", said="", **options):
    """A compressed image of an array that PIL takes."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return SimpleNamespace(format=said or form, data=file.getvalue())
