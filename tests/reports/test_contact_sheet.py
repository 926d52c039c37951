"""Contact sheets: small images are enlarged without smoothing, and large ones reduced."""

import numpy as np

from cnntrain.reports.contact_sheet import MARGIN, CaptionedImage, draw_contact_sheet


def test_small_images_are_enlarged_without_smoothing_and_in_colour():
    pixels = np.zeros((28, 28, 3), np.uint8)
    pixels[:, 14:] = (250, 0, 10)
    sheet = np.asarray(draw_contact_sheet(["title"], [[CaptionedImage(pixels, ["猫 " * 99])]], 4))
    rows, columns = np.nonzero((sheet == (250, 0, 10)).all(axis=-1))
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (112, 56)
    assert columns.min() == MARGIN + 56
    assert (sheet[rows.min() : rows.max(), MARGIN : MARGIN + 56] == 0).all()


def test_large_images_are_reduced():
    sheet = draw_contact_sheet([""], [[CaptionedImage(np.zeros((512, 1024, 1), np.uint8), [])]], 1)
    assert 256 < sheet.size[0] < 400
    assert 128 < sheet.size[1] < 250
