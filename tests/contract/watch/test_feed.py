"""However many follow, there is one look for all of them; and no more follow than can be told."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from landpatch.records import Outcome
from landpatch.settings import Settings
from landpatch.watch.feed import MOST_CLIENTS, MOST_VIEWS, CrowdedError, Feed
from landpatch.watch.lookout import open_lookout
from landpatch.watch.maps import Atlas
from tests.contract.watch.served import PARIS

pytestmark = pytest.mark.stack

FOLLOWERS = 20
HOUR_S = 3600


class Counted:
    """A lookout, and how often it was asked."""

    def __init__(self, environment):
        settings = Settings(_env_file=None, **environment)
        self._lookout = open_lookout(settings, Atlas(settings))
        self.looks = 0

    def look(self, wanted):
        self.looks += 1
        return self._lookout.look(wanted)


@pytest.fixture
def lookout(environment):
    return Counted(environment)


@asynccontextmanager
async def running(lookout, pause_s=HOUR_S):
    """A feed that looks again by itself after so long."""
    feed = Feed(lookout, lambda: False, pause_s)
    looking = asyncio.create_task(feed.run())
    yield feed
    looking.cancel()


async def next_view(events):
    """What is told next of the patches of Paris."""
    async for event in events:
        if event.startswith("data: "):
            news = json.loads(event.removeprefix("data: "))
            if PARIS in news.get("views", {}):
                return news["views"][PARIS]
    raise AssertionError("the events have ended")


def test_all_who_follow_are_told_of_the_same_few_looks(paris, lookout):
    async def follow():
        async with running(lookout) as feed:
            followers = [feed.follow([PARIS]) for _ in range(FOLLOWERS)]
            told = await asyncio.gather(*map(next_view, followers))
            assert [view["images"] for view in told] == [{"all": "0" * 28}] * FOLLOWERS
            assert lookout.looks <= 3, "of the first who comes, and of the rest"
            before = lookout.looks
            paris.ledger.record(PARIS, paris.run, "images", {paris.names[5]: Outcome("complete")})
            newcomer = feed.follow([PARIS])
            assert "2" in (await next_view(newcomer))["images"]["all"], "who comes is told at once"
            told = await asyncio.gather(*map(next_view, followers))
            assert [view["images"] for view in told] == [{"some": {"2": [5]}}] * FOLLOWERS
            assert lookout.looks == before + 1
            for each in [*followers, newcomer]:
                await each.aclose()

    asyncio.run(follow())


def test_one_who_is_slow_is_told_the_last_of_it_and_keeps_nobody_waiting(paris, lookout):
    async def follow():
        async with running(lookout, pause_s=0.01) as feed:
            slow, quick = feed.follow([PARIS]), feed.follow([PARIS])
            await asyncio.gather(next_view(slow), next_view(quick))
            for place in (1, 2, 3):
                paris.ledger.record(PARIS, paris.run, "images", {paris.names[place]: Outcome("complete")})
                assert (await next_view(quick))["images"] == {"some": {"2": [place]}}
            assert (await next_view(slow))["images"] == {"some": {"2": [1, 2, 3]}}

    asyncio.run(follow())


def test_who_goes_is_forgotten_and_then_nobody_looks(paris, lookout):
    async def follow():
        async with running(lookout, pause_s=0.01) as feed:
            events = feed.follow([PARIS])
            await next_view(events)
            await events.aclose()
            await asyncio.sleep(0.1)
            before = lookout.looks
            await asyncio.sleep(0.3)
            assert lookout.looks == before

    asyncio.run(follow())


def test_more_than_can_be_told_is_refused_at_once(lookout):
    async def follow():
        feed = Feed(lookout, lambda: False)
        everybody = [feed.follow([f"FR1{number % MOST_VIEWS:02}/2021"]) for number in range(MOST_CLIENTS)]
        starts = [asyncio.ensure_future(anext(each)) for each in everybody]
        await asyncio.sleep(0)
        with pytest.raises(CrowdedError, match="too many look at once"):
            feed.follow([])
        starts[0].cancel()
        await asyncio.sleep(0)
        with pytest.raises(CrowdedError):
            feed.follow(["LU000/2021"])
        assert feed.follow(["FR101/2021"])
        for start in starts:
            start.cancel()

    asyncio.run(follow())


def test_the_events_end_when_the_server_wants_to(paris, lookout):
    async def follow():
        ending = [False]
        feed = Feed(lookout, lambda: ending[0])
        looking = asyncio.create_task(feed.run())
        events = feed.follow([PARIS])
        await next_view(events)
        ending[0] = True
        assert [event async for event in events if event.startswith("data: ")] == []
        looking.cancel()

    asyncio.run(follow())
