"""What the numbers of labels mean."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from landpatch.errors import PermanentError
from landpatch.index import build_patches, read_class_names
from landpatch.legend import CLCPLUS_LEGEND, LAND_COVER, make_legend


@pytest.mark.parametrize("sources", [[], ["clcplus"], ["clcplus", ""], [""]])
def test_labels_of_clcplus_have_its_legend(sources):
    assert make_legend(sources, {}) == CLCPLUS_LEGEND


def test_another_map_with_the_classes_of_clcplus_keeps_their_names():
    legend = make_legend(["raster=a.tif,b.tif;classes=0;nearest"], {})
    assert (legend.title, legend.classes, legend.credit) == ("a.tif,b.tif", LAND_COVER, "")


def test_classes_of_ones_own_are_those_that_have_a_name():
    legend = make_legend(["raster=a.tif;classes=0;nearest"], {2: "Two", 1: "One"})
    assert [(each.number, each.name) for each in legend.classes] == [(1, "One"), (2, "Two")]


def test_names_are_read_as_they_were_written():
    names = {1: "Bäume", 2: "Water"}
    assert read_class_names(build_patches([], "cdse", names)) == names
    assert read_class_names(build_patches([], "cdse")) == {}


@pytest.mark.parametrize("written", ["[1]", "{", '{"x": "y"}', '{"1": 2}', "null", "[" * 100_000])
def test_what_is_no_list_of_names_is_refused(written):
    table = pa.table({"patch": ["p"]}).replace_schema_metadata({"LANDPATCH_CLASSES": written})
    pq.write_table(table, sink := pa.BufferOutputStream())
    with pytest.raises(PermanentError, match="LANDPATCH_CLASSES"):
        read_class_names(sink.getvalue().to_pybytes())


def test_names_are_short_and_printable():
    written = json.dumps({"1": "x" * 1000, "2": "a\nb"})
    table = pa.table({"patch": ["p"]}).replace_schema_metadata({"LANDPATCH_CLASSES": written})
    pq.write_table(table, sink := pa.BufferOutputStream())
    assert read_class_names(sink.getvalue().to_pybytes()) == {1: "x" * 100}
