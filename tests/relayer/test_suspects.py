"""Refused destinations are found among all others, and a server that refuses everything convicts none."""

from hypothesis import given
from hypothesis import strategies as st

from relayer.suspects import Suspects

TOPICS = [f"/topic/{letter}" for letter in "abcdefgh"]
NOTHING: frozenset[str] = frozenset()


def visit(suspects: Suspects, wanted: list[str], refused: set[str], *, size: int) -> tuple[set[str], str | None]:
    """One connection to a server that answers in order and ends it with an ERROR; whom it served, and who was convicted."""
    served: set[str] = set()
    for batch in suspects.batches(wanted, size=size):
        for place, destination in enumerate(batch):
            if destination in refused:
                return served, suspects.convict(frozenset(batch[place:]), served=frozenset(served))
            served.add(destination)
            suspects.clear(destination)
    return served, None


@given(refused=st.sets(st.sampled_from(TOPICS), max_size=len(TOPICS) - 1), size=st.integers(1, 10))
def test_all_that_a_server_serves_is_served_in_the_end(refused: set[str], size: int) -> None:
    """Whichever it refuses, and however many: only those are convicted, each after a bounded number of connections."""
    suspects = Suspects()
    convicted: set[str] = set()

    for _ in range(2 * len(TOPICS) + 2):
        wanted = [topic for topic in TOPICS if topic not in convicted]
        served, culprit = visit(suspects, wanted, refused, size=size)
        convicted |= {culprit} if culprit else set()

    assert convicted == refused
    assert served == set(TOPICS) - refused


@given(size=st.integers(1, 10), connections=st.integers(1, 30))
def test_who_refuses_everything_refuses_nothing_in_particular(size: int, connections: int) -> None:
    """A server under maintenance costs connections and no destination; afterwards all is served at once."""
    suspects = Suspects()

    for _ in range(connections):
        assert visit(suspects, TOPICS, set(TOPICS), size=size) == (set(), None)

    assert visit(suspects, TOPICS, set(), size=size) == (set(TOPICS), None)
    assert suspects.batches(TOPICS, size=10) == [TOPICS]


def test_the_only_destination_of_all_is_not_convicted() -> None:
    """Nothing is gained by leaving it alone: nobody else is kept waiting."""
    suspects = Suspects()

    assert [visit(suspects, TOPICS[:1], set(TOPICS), size=20) for _ in range(3)] == [(set(), None)] * 3


def test_a_newcomer_beside_a_suspect_leaves_it_open() -> None:
    """Which of the two it was, the next connection tells."""
    suspects = Suspects()
    suspects.convict(frozenset({"/topic/a"}), served=NOTHING)

    assert suspects.convict(frozenset({"/topic/a", "/topic/z"}), served=frozenset({"/topic/b"})) is None
    assert suspects.batches(["/topic/z", "/topic/b", "/topic/a"], size=20) == [["/topic/b"], ["/topic/a"], ["/topic/z"]]
