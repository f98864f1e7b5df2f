"""The other tools, in the environment they are installed in: a line of JSON in, a line of JSON out.

Rule: settings as shipped and 64 bits of payload; an error of a tool is an answer, since that is what its user would get. Of
invisible-watermark the method without a neural network is asked (`dwtDctSvd`); its package imports torch in any case, and
gets an empty module.
"""

import contextlib
import json
import sys
import types
from typing import Any

import cv2
import numpy as np

BITS = 64


def blind(order: dict[str, Any]) -> list[int]:
    """blind-watermark: `embed` and `extract` of its `WaterMark`."""
    from blind_watermark import WaterMark

    tool = WaterMark(password_img=1, password_wm=1)
    if order["bits"] is None:
        found = tool.extract(order["source"], wm_shape=BITS, mode="bit")
        return [int(level > 0.5) for level in np.asarray(found)]
    tool.read_img(order["source"])
    tool.read_wm([bool(bit) for bit in order["bits"]], mode="bit")
    tool.embed(order["out"])
    return list(order["bits"])


def invisible(order: dict[str, Any]) -> list[int]:
    """invisible-watermark: encoder and decoder with `dwtDctSvd`."""
    sys.modules.setdefault("torch", types.ModuleType("torch"))
    from imwatermark import WatermarkDecoder, WatermarkEncoder

    picture = cv2.imread(order["source"])
    if order["bits"] is None:
        found = WatermarkDecoder("bits", BITS).decode(picture, "dwtDctSvd")
        return [int(bit) for bit in found]
    encoder = WatermarkEncoder()
    encoder.set_watermark("bits", order["bits"])
    cv2.imwrite(order["out"], encoder.encode(picture, "dwtDctSvd"))
    return list(order["bits"])


def similarity(order: dict[str, Any]) -> float:
    """scikit-image: `structural_similarity` with its default window of 7 pixels."""
    from skimage.metrics import structural_similarity

    before, after = (cv2.imread(order[name]) for name in ("source", "out"))
    return float(structural_similarity(before, after, channel_axis=2, data_range=255))


TOOLS = {"blind-watermark": blind, "invisible-watermark": invisible}


def main() -> None:
    """Answer orders until there are no more."""
    answers = sys.stdout
    for line in sys.stdin:
        order = json.loads(line)
        answer: dict[str, Any]
        try:
            with contextlib.redirect_stdout(sys.stderr):
                tool = order["tool"]
                answer = {"ssim": similarity(order)} if tool == "ssim" else {"bits": TOOLS[tool](order)}
        except Exception as error:  # noqa: BLE001
            answer = {"error": f"{type(error).__name__}: {error}"[:200]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
