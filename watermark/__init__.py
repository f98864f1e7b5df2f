"""TEMPORARY by the lead so that imports work while the engine is being finished; overwrite me."""
from watermark.errors import WatermarkError
from watermark.policy import Policy
from watermark.results import Verdict

def embed(*a, **k): raise WatermarkError
def detect(*a, **k): raise WatermarkError
