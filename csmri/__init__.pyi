from csmri.api import compare as compare
from csmri.api import draw as draw
from csmri.api import evaluate as evaluate
from csmri.api import load_model as load_model
from csmri.api import prepare as prepare
from csmri.api import reconstruct as reconstruct
from csmri.api import simulate as simulate
from csmri.api import train as train
from csmri.config import Config as Config
from csmri.config import Sampling as Sampling
from csmri.core.errors import CsmriError as CsmriError
from csmri.data.acquisition import Acquisition as Acquisition
from csmri.data.cine import Cine as Cine
from csmri.data.kspace import KSpace as KSpace
from csmri.formats import read as read
from csmri.formats import write as write

__version__: str
