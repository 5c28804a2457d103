from ._cambium import *

__version__: str
