"""Chunks are fetched ahead in order, within the room there is, and never lost or fetched twice."""

import threading
import time
from collections import Counter

import pytest

from landpatch.errors import TransientError
from services.image_worker.loader import Chunk, ChunkedFile, Loader, Room
from tests.waiting import LONG_S, wait_until

FILE = bytes(range(256)) * 40


class Source:
    """Counts what is read, in which order."""

    def __init__(self, fail_at=None):
        self.reads = Counter()
        self.order = []
        self.fail_at = fail_at
        self.lock = threading.Lock()

    def read(self, key, offset, length):
        with self.lock:
            self.reads[key, offset] += 1
            self.order.append((key, offset))
        time.sleep(0.001)
        if offset == self.fail_at:
            raise TransientError("broke off")
        return FILE[offset : offset + length]


def chunks(key="a", length=1000, rank=0.0):
    return [Chunk(key, (offset, length), rank + offset) for offset in range(0, 10_000, length)]


def test_any_part_of_a_file_is_read_across_chunks():
    source, own = Source(), chunks()
    with Loader(source.read, own, 3, Room(100_000)) as loader:
        file = ChunkedFile(loader, own)
        for offset, length in ((0, 10), (995, 10), (500, 4000), (9_999, 1), (0, 10_000)):
            assert file.read(offset, length) == FILE[offset : offset + length]
    assert set(source.reads.values()) == {1}


def test_bytes_that_no_chunk_holds_are_an_error_and_not_silence():
    own = [Chunk("a", (0, 100), 0), Chunk("a", (200, 100), 1)]
    with Loader(Source().read, own, 1, Room(1000)) as loader:
        file = ChunkedFile(loader, own)
        for offset, length in ((50, 100), (150, 10), (250, 100)):
            with pytest.raises(ValueError, match="no chunk"):
                file.read(offset, length)


def test_no_more_is_fetched_ahead_than_there_is_room_for():
    source, own, room = Source(), chunks(), Room(3500)
    with Loader(source.read, own, 2, room) as loader:
        wait_until(lambda: len(source.order) == 3)
        time.sleep(0.05)
        assert len(source.order) == 3
        file = ChunkedFile(loader, own)
        file.read(0, 1500)
        file.forget(before=1000)
        wait_until(lambda: len(source.order) == 4)
        time.sleep(0.05)
        assert len(source.order) == 4


def test_what_is_asked_for_is_fetched_even_without_room_and_out_of_turn():
    source, own = Source(), chunks()
    with Loader(source.read, own, 1, Room(10)) as loader:
        file = ChunkedFile(loader, own)
        assert file.read(8_500, 700) == FILE[8_500:9_200]
        assert file.read(0, 10_000) == FILE[:10_000]
    assert set(source.reads.values()) == {1}


def test_chunks_of_several_files_are_fetched_by_rank():
    source = Source()
    own = [Chunk("b", (0, 10), 0.5), Chunk("a", (0, 10), 0.1), Chunk("a", (10, 10), 0.9)]
    with Loader(source.read, own, 1, Room(1000)):
        wait_until(lambda: len(source.order) == 3)
    assert source.order == [("a", 0), ("b", 0), ("a", 10)]


def test_a_fault_comes_out_where_the_bytes_are_asked_for():
    own = chunks()
    with Loader(Source(fail_at=2000).read, own, 2, Room(100_000)) as loader:
        file = ChunkedFile(loader, own)
        assert file.read(0, 1000)
        with pytest.raises(TransientError, match="broke off"):
            file.read(1500, 1000)


def test_stopping_ends_at_once_though_much_is_left():
    source, own = Source(), chunks(length=10)
    with Loader(source.read, own, 1, Room(50)):
        wait_until(lambda: source.order)
    assert len(source.order) < 20


def test_many_readers_at_once_get_their_bytes_in_little_room():
    source = Source()
    own = {key: chunks(key, 500) for key in "abcd"}
    room = Room(2000)
    faults = []

    def consume(loader, key):
        file = ChunkedFile(loader, own[key])
        for offset in range(0, 10_000, 250):
            if file.read(offset, 250) != FILE[offset : offset + 250]:
                faults.append((key, offset))
            file.forget(before=offset + 250)

    with Loader(source.read, [chunk for some in own.values() for chunk in some], 2, room) as loader:
        threads = [threading.Thread(target=consume, args=(loader, key)) for key in own]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=LONG_S)
            assert not thread.is_alive()
    assert not faults
    assert set(source.reads.values()) == {1}
