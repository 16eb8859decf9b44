"""Lungs as a radiologist's eye finds them, without any network: the reference of the lung tests on real images.

Air is what lies below -400 HU. Per slice, components that touch the image border are outside the body. What remains,
without the trachea (the part connected to it that is small in plane), closed by 2 voxels, is lung.
"""

import numpy
from scipy import ndimage

AIR_HU = -400
CLOSING_VOXELS = 2


def inside_air(hounsfield):
    """Air in components that do not touch the border of their slice; `[slice, row, column]`."""
    air = hounsfield < AIR_HU
    inside = numpy.zeros_like(air)
    for index, plane in enumerate(air):
        labels, _ = ndimage.label(plane)
        border = numpy.unique(numpy.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
        inside[index] = plane & ~numpy.isin(labels, border)
    return inside


def without_trachea(inside, spacing):
    """Removes what is not lung: components of less than 25 mm2 in a plane, and those of less than 700 mm2 within 30 mm of
    the middle of the chest.

    `spacing` is that of slices, rows, columns in mm.
    """
    kept = inside.copy()
    pixel = spacing[1] * spacing[2]
    columns = numpy.flatnonzero(inside.any(axis=(0, 1)))
    if columns.size == 0:
        return kept
    middle = (columns[0] + columns[-1]) / 2
    reach = 30 / spacing[2]
    for plane in kept:
        labels, count = ndimage.label(plane)
        for label in range(1, count + 1):
            part = labels == label
            area = part.sum() * pixel
            centre = ndimage.center_of_mass(part)
            if area < 25 or (area < 700 and abs(centre[1] - middle) < reach):
                plane[part] = False
    return kept


def lungs(hounsfield, spacing):
    """A mask of both lungs, `[slice, row, column]`."""
    mask = without_trachea(inside_air(hounsfield), spacing)
    disk = ndimage.iterate_structure(ndimage.generate_binary_structure(2, 1), CLOSING_VOXELS)
    return numpy.stack([ndimage.binary_closing(numpy.pad(plane, 4), disk)[4:-4, 4:-4] for plane in mask])


def dice(one, other):
    """Overlap of two masks, from 0 to 1."""
    total = one.sum() + other.sum()
    return 2.0 * (one & other).sum() / total if total else 1.0


def components(mask):
    """The two largest 3D components, as a check that both lungs are there."""
    labels, count = ndimage.label(mask)
    sizes = ndimage.sum_labels(mask, labels, range(1, count + 1))
    return sorted((int(size) for size in sizes), reverse=True)[:2]
