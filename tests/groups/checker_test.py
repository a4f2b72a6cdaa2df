"""The checker on histories made by hand: each breach is seen, and what is allowed is not called one."""

import unittest

from checker import around, check
from history import History


class Story:
    """A history, told line by line; each line a tenth of a second after the last."""

    def __init__(self, records=4, partitions=1):
        self.t = 0.0
        self.events = []
        self.log = {p: [(o, f"{p}.{o}") for o in range(records)] for p in range(partitions)}
        self.acked = {name: (p, o) for p, list_ in self.log.items() for o, name in list_}
        self.doubt, self.final = set(), None

    def add(self, e, **more):
        self.t += 0.1
        self.events.append({"e": e, "t": self.t, **more})
        return self

    def by(self, e, member, life=None, **more):
        return self.add(e, m=member, life=life or member, **more)

    def told(self, member, g, holds, life=None, revoking=(), floor=None, **more):
        says = more.pop("says", [*holds, *revoking])
        return self.by("told", member, life, g=g, holds=list(holds), revoking=list(revoking), says=says,
                       floor=self.t if floor is None else floor, **more)

    def read(self, member, p, offsets, life=None, g=1, floor=None):
        names = [[o, f"{p}.{o}"] for o in offsets]
        return self.by("read", member, life, p=p, g=g, records=names, floor=self.t if floor is None else floor)

    def call(self, member, call, answer="ok", life=None, **more):
        return self.by("call", member, life, call=call, answer=answer, t0=more.pop("t0", self.t + 0.05), **more)

    def join(self, member, session=3.0, **more):
        return self.call(member, "join", session=session, **more)

    def commit(self, member, g, upto, answer="ok", stands=None, **more):
        self.by("sent", member, more.get("life"), g=g, commits=upto)
        return self.call(member, "commit", answer, g=g, commits=upto, stands=stands or upto, **more)

    def wait(self, seconds):
        self.t += seconds
        return self

    def seen(self, g=1, members=None, upto=None, **more):
        leases = {m: {"holds": holds, "revoking": []} for m, holds in (members or {}).items()}
        return self.add("seen", t0=self.t + 0.05, g=g, members=leases, commits=upto or {}, state="stable", **more)

    def history(self, ordered=True):
        return History(self.events, self.acked, self.doubt, self.log, self.final, ordered)

    def kinds(self, ordered=True):
        return [violation.kind for violation in check(self.history(ordered))]


def whole():
    """A good history: one member reads everything and commits it."""
    return Story().join("a").told("a", 1, [0]).read("a", 0, [0, 1, 2, 3]).commit("a", 1, {0: 4})


class Good(unittest.TestCase):
    def none(self, story, ordered=True):
        self.assertEqual([v.text for v in check(story.history(ordered))], [])

    def test_one_member_that_reads_and_commits(self):
        story = whole()
        story.final = {"state": "stable", "members": {"a": {"holds": [0]}}, "commits": {0: 4}}
        self.none(story)

    def test_a_hand_over_repeats_what_was_not_committed(self):
        story = Story().told("a", 1, [0]).read("a", 0, [0, 1, 2]).commit("a", 1, {0: 1})
        story.told("b", 2, [0]).read("b", 0, [1, 2, 3], g=2)
        self.none(story)

    def test_a_member_that_dies_begins_again_at_its_commit(self):
        story = Story().told("a", 1, [0]).read("a", 0, [0, 1]).commit("a", 1, {0: 1})
        self.none(story.told("a", 1, [0], life="a2").read("a", 0, [1, 2, 3], life="a2"))

    def test_a_commit_without_an_answer_may_have_happened_or_not(self):
        for begins in ([0, 1, 2, 3], [2, 3]):
            story = Story().told("a", 1, [0]).read("a", 0, [0, 1]).commit("a", 1, {0: 2}, "none")
            self.none(story.told("b", 2, [0]).read("b", 0, begins, g=2))

    def test_a_member_that_dies_while_it_commits(self):
        story = Story().told("a", 1, [0]).read("a", 0, [0, 1]).by("sent", "a", g=1, commits={0: 2})
        self.none(story.told("a", 1, [0], life="a2").read("a", 0, [2, 3], life="a2"))

    def test_a_paused_member_reads_what_it_was_sent_before(self):
        story = Story().told("a", 1, [0]).read("a", 0, [0])
        asked = story.t
        story.told("b", 2, [0]).read("b", 0, [0, 1, 2, 3], g=2).commit("b", 2, {0: 4})
        self.none(story.read("a", 0, [1, 2], floor=asked))

    def test_a_commit_that_lies_behind_is_answered_with_where_the_group_stands(self):
        self.none(whole().commit("a", 1, {0: 2}, stands={0: 4}))

    def test_what_is_revoked_may_be_committed_until_another_has_it(self):
        story = Story().told("a", 1, [0]).read("a", 0, [0, 1, 2, 3]).told("a", 2, [], revoking=[0])
        self.none(story.commit("a", 1, {0: 4}).told("b", 3, [0], begins={0: 4}))

    def test_offsets_may_have_gaps(self):
        story = Story(records=0)
        story.log = {0: [(0, "0.0"), (2, "0.2"), (5, "0.5")]}
        story.acked = {name: (0, o) for o, name in story.log[0]}
        story.told("a", 1, [0]).read("a", 0, [0]).commit("a", 1, {0: 1})
        self.none(story.told("b", 2, [0]).read("b", 0, [2, 5], g=2))

    def test_a_reader_follows_a_commit_that_another_made_meanwhile(self):
        story = Story().told("a", 1, [0]).read("a", 0, [0])
        story.told("b", 2, [0]).read("b", 0, [0, 1, 2], g=2).commit("b", 2, {0: 3})
        self.none(story.read("a", 0, [3], g=3))

    def test_what_may_have_been_published_may_be_there(self):
        story = whole()
        del story.acked["0.3"]
        story.doubt.add("0.3")
        self.none(story)

    def test_a_commit_that_crosses_with_the_loss(self):
        story = Story().told("a", 1, [0]).read("a", 0, [0, 1, 2, 3])
        asked = story.t + 0.01
        self.none(story.told("a", 2, []).commit("a", 1, {0: 4}, t0=asked))

    def test_a_join_without_an_answer_may_have_happened(self):
        story = whole().call("a", "poll", "member_expired").join("a", answer="none").call("a", "heartbeat")
        self.none(story)

    def test_a_member_that_expired_and_joined_again(self):
        story = Story().join("a").told("a", 1, [0]).read("a", 0, [0, 1, 2, 3]).wait(6)
        story.commit("a", 1, {0: 4}, "member_expired").call("a", "poll", "member_expired")
        self.none(story.join("a").call("a", "poll", wait=1).commit("a", 3, {0: 4}))

    def test_a_gateway_that_starts_gives_everyone_a_whole_session(self):
        story = whole().wait(4).add("server", what="killed").wait(1).add("server", what="started").wait(2)
        self.none(story.commit("a", 1, {0: 4}))

    def test_a_connection_keeps_its_member(self):
        story = Story().join("a", socket=True).told("a", 1, [0], begins={0: 0}).read("a", 0, [0, 1, 2, 3])
        self.none(story.wait(60).commit("a", 1, {0: 4}))

    def test_members_of_kafka_number_their_own_leases(self):
        story = Story(partitions=2).told("a", 7, [0]).told("b", 3, [1])
        story.read("a", 0, [0, 1, 2, 3]).read("b", 1, [0, 1, 2, 3])
        story.seen(7, {"a": [0], "b": [1]}).commit("a", 7, {0: 4}).commit("b", 3, {1: 4})
        self.none(story, ordered=False)


class Bad(unittest.TestCase):
    def has(self, story, kind, ordered=True):
        kinds = story.kinds(ordered)
        self.assertIn(kind, kinds)
        return kinds

    def only(self, story, kind, ordered=True):
        self.assertEqual(set(self.has(story, kind, ordered)), {kind})

    def test_an_acknowledged_record_that_is_not_in_the_log(self):
        story = whole()
        story.acked["x"] = (0, 9)
        self.only(story, "log-lost")

    def test_an_acknowledged_record_that_is_at_another_place(self):
        story = whole()
        story.acked["0.3"] = (0, 2)
        self.only(story, "log-lost")

    def test_a_record_that_is_in_the_log_twice(self):
        story = whole()
        story.log[0].append((4, "0.3"))
        self.has(story, "log-twice")

    def test_a_record_that_nobody_published(self):
        story = whole()
        del story.acked["0.3"]
        self.only(story, "log-strange")

    def test_a_record_that_nobody_processed(self):
        story = Story().told("a", 1, [0]).read("a", 0, [0, 1, 2])
        self.only(story, "lost")

    def test_a_record_that_was_committed_and_not_processed(self):
        story = Story().told("a", 1, [0]).read("a", 0, [0]).commit("a", 1, {0: 2})
        self.only(story.told("b", 2, [0]).read("b", 0, [2, 3], g=2), "lost")

    def test_a_record_that_was_read_and_is_not_there(self):
        self.has(whole().read("a", 0, [4]), "phantom")

    def test_another_record_at_its_place(self):
        story = whole()
        story.log[0][3] = (3, "other")
        story.doubt.add("other")
        self.has(story, "phantom")

    def test_records_out_of_order(self):
        self.has(Story().told("a", 1, [0]).read("a", 0, [0, 1, 3, 2]), "reordered")

    def test_a_record_twice_in_one_ownership(self):
        self.only(Story().told("a", 1, [0]).read("a", 0, [0, 1]).read("a", 0, [1, 2, 3]), "reordered")

    def test_a_record_that_is_passed_over_and_comes_later_to_another(self):
        story = Story().told("a", 1, [0]).read("a", 0, [0, 2]).told("b", 2, [0]).read("b", 0, [0, 1, 2, 3], g=2)
        self.only(story, "skipped")

    def test_an_ownership_that_begins_where_nobody_committed(self):
        story = Story().told("a", 1, [0]).read("a", 0, [0, 1, 2, 3]).commit("a", 1, {0: 1})
        self.only(story.told("b", 2, [0]).read("b", 0, [2, 3], g=2), "misplaced")

    def test_an_ownership_that_begins_by_a_commit_that_came_later(self):
        story = Story().told("a", 1, [0]).read("a", 0, [0, 1, 2]).told("b", 2, [0]).read("b", 0, [2, 3], g=2)
        self.only(story.commit("b", 2, {0: 2}), "misplaced")

    def test_a_record_that_had_been_committed(self):
        story = Story().told("a", 1, [0]).read("a", 0, [0, 1]).commit("a", 1, {0: 2}).wait(1)
        self.only(story.told("b", 2, [0]).read("b", 0, [0, 1, 2, 3], g=2), "repeated")

    def test_a_connection_that_is_to_begin_before_the_commit(self):
        story = whole().wait(1).told("b", 2, [0], begins={0: 2})
        self.only(story, "repeated")

    def test_a_read_without_an_assignment(self):
        self.only(Story().told("a", 1, []).read("a", 0, [0, 1, 2, 3]), "unheld")

    def test_a_read_of_what_is_being_revoked(self):
        story = Story().told("a", 1, [0]).read("a", 0, [0, 1]).told("a", 2, [], revoking=[0])
        self.has(story.read("a", 0, [2, 3]), "unheld")

    def test_two_owners_in_one_generation(self):
        self.only(whole().told("b", 1, [0]), "two-owners")

    def test_one_that_gets_what_another_is_still_to_release(self):
        self.only(whole().told("a", 2, [], revoking=[0]).told("b", 2, [0]), "two-owners")

    def test_two_owners_that_an_observer_sees(self):
        self.only(whole().seen(5, {"a": [0], "b": [0]}), "two-owners")

    def test_a_commit_of_one_who_has_lost_the_partition(self):
        story = whole().told("b", 2, [0]).commit("a", 1, {0: 4})
        self.only(story, "unfenced")
        self.only(story, "unfenced", ordered=False)

    def test_a_commit_of_the_past_by_one_who_has_it_again(self):
        story = whole().told("b", 2, [0]).told("a", 3, [0]).commit("a", 1, {0: 4})
        self.only(story, "unfenced")

    def test_a_commit_of_what_the_member_was_told_that_it_lost(self):
        story = Story().told("a", 1, [0]).read("a", 0, [0, 1, 2, 3]).told("a", 2, [])
        self.only(story.commit("a", 1, {0: 4}), "unfenced")
        self.only(story, "unfenced", ordered=False)

    def test_a_commit_that_goes_back(self):
        self.only(whole().wait(1).seen(upto={0: 3}), "commit-back")

    def test_a_commit_that_is_gone_after_a_crash(self):
        story = whole().add("server", what="killed").add("server", what="started")
        self.has(story.commit("a", 1, {0: 2}, stands={0: 2}), "commit-back")

    def test_a_commit_that_is_answered_and_does_not_count(self):
        self.only(Story().told("a", 1, [0]).read("a", 0, [0, 1, 2, 3]).commit("a", 1, {0: 4}, stands={0: 2}),
                  "commit-back")

    def test_a_member_that_expired_and_is_served(self):
        story = whole().wait(4).call("a", "poll", "member_expired").commit("a", 1, {0: 4})
        self.has(story, "zombie")

    def test_a_member_that_left_and_is_served(self):
        self.only(whole().call("a", "leave").call("a", "heartbeat"), "zombie")

    def test_a_member_that_was_silent_and_is_served(self):
        self.only(whole().wait(8).commit("a", 1, {0: 4}), "overslept")

    def test_a_connection_that_was_gone_and_whose_member_is_served(self):
        story = Story().join("a", socket=True).told("a", 1, [0]).read("a", 0, [0, 1, 2, 3])
        self.only(story.by("cut", "a").wait(8).call("a", "heartbeat"), "overslept")

    def test_a_loss_that_was_told(self):
        self.only(whole().by("lost", "a", p=0, what="retention"), "told-lost")

    def test_an_answer_that_no_call_gets(self):
        self.only(whole().call("a", "poll", "internal"), "strange")

    def test_an_end_that_is_no_rest(self):
        good = {"state": "stable", "members": {"a": {"holds": [0]}}, "commits": {0: 4}}
        for part in (
            {"state": "rebalancing"},
            {"members": {"a": {"holds": []}}},
            {"members": {"a": {"holds": [0]}, "b": {"holds": [0]}}},
            {"commits": {0: 3}},
            {"commits": {}},
        ):
            story = whole()
            story.final = {**good, **part}
            self.only(story, "unsettled")

    def test_members_out_of_balance(self):
        story = Story(partitions=2).told("a", 1, [0, 1]).read("a", 0, [0, 1, 2, 3]).read("a", 1, [0, 1, 2, 3])
        story.final = {"state": "stable", "members": {"a": {"holds": [0, 1]}, "b": {"holds": []}},
                       "commits": {0: 4, 1: 4}}
        self.only(story, "unsettled")

    def test_a_breach_is_shown_with_what_was_around_it(self):
        history = Story().told("a", 1, [0]).read("a", 0, [0, 1, 3, 2]).history()
        violation = next(v for v in check(history) if v.kind == "reordered")
        lines = around(history, violation)
        self.assertTrue(any("told" in line for line in lines) and any("0..2" in line for line in lines), lines)


if __name__ == "__main__":
    unittest.main()
