"""Optional libraries: one line that says what to install, and nothing of them is needed for the rest."""

import json
import subprocess
import sys

import pytest

from landpatch.dataset.extras import need
from landpatch.errors import ConfigurationError, MissingExtraError

PROGRAM = """
import json, sys
import landpatch
dataset = landpatch.open(sys.argv[1], "FR101/2021")
assert dataset.pair(0).image.shape == (14, 250, 250)
assert len(dataset.split(block_m=2500)) == 3
said = [sorted({"torch", "xarray", "dask", "pystac", "stac_geoparquet"} & set(sys.modules))]
missing = ""
class Without:
    @staticmethod
    def find_spec(name, *_):
        if name.partition(".")[0] == missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Without)
for missing, use in json.loads(sys.argv[2]):
    for name in [name for name in sys.modules if name.partition(".")[0] == missing]:
        del sys.modules[name]
    try:
        eval(use)
    except landpatch.errors.MissingExtraError as error:
        said.append(str(error))
print(json.dumps(said))
"""
USES = {
    ("torch", "dataset.to_torch(labels=False)"): "torch",
    ("dask", "dataset.to_xarray()"): "xarray",
    ("xarray", "dataset.to_xarray()"): "xarray",
    ("xarray", "dataset.pair(0).to_xarray()"): "xarray",
    ("pystac", "dataset.to_stac()"): "stac",
    ("stac_geoparquet", "dataset.write_stac_geoparquet('x')"): "stac",
}


def test_nothing_optional_is_loaded_and_without_a_library_its_extra_is_named_in_one_line(own):
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, own, json.dumps([*USES])], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    lines = [f'this needs {name}: pip install "landpatch[{extra}]"' for (name, _), extra in USES.items()]
    assert json.loads(ran.stdout) == [[], *lines]


def test_another_error_of_an_import_is_left_as_it_is():
    with pytest.raises(ImportError, match="libcudart") as broken, need("torch"):
        raise ImportError("libcudart.so.12: cannot open shared object file", name="torch._C")
    assert not isinstance(broken.value, MissingExtraError)


def test_a_missing_extra_is_caught_as_either_error():
    assert issubclass(MissingExtraError, ConfigurationError)
    assert issubclass(MissingExtraError, ImportError)
