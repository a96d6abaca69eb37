"""The simulated node answers and says what the recorded one did: every recording is played again, and the shapes are compared."""

import itertools
import json

import pytest

from recorded import Frame, Matching, as_boost_prints, recorded_calls, recorded_conversation
from session import Closed

G = "nano_3e3j5tkog48pnny9dmfzj1r16pg8t1e76dz5tmac6iq689wyjfpiij4txtdo"
A = "nano_1sjkhzzeuhup4u9fbd9f77k9puwfbaadymfjnjgbtmiuchqqnmodbwrsnhn9"
B = "nano_35s8xxbrurpph5zrcb8ey3y1j9niij7k1m645otcxdk3fxg517i6j5empshy"
D = "nano_3xc8mafayqu1ae8myqw9o9dizmz5mhqnzf1dx1jdrs6apgm8g8stucek1rzc"
NANO = 10**30

# What the simulated node leaves to real ones, and the recording's own means of making blocks.
UNKNOWN = {
    *("confirmation_quorum", "confirmation_history", "confirmation_active", "process", "receive_minimum"),
    *("send", "wallet_create", "wallet_add", "wallet_lock", "password_enter"),
}


class Stage:
    """The recorded accounts on a simulated node, brought step by step into the recorded states."""

    def __init__(self, node):
        self.node = node
        self.matching = Matching()
        self.own = {}
        for recorded, own in zip((G, A, B, D), node.accounts(4), strict=True):
            self.own[recorded] = own
            self.matching.add(recorded, own)

    def block(self, recorded, own):
        self.matching.add(recorded, own)

    def pay(self, source, to, amount, recorded, **fields):
        (hash,) = self.node.pay(self.own[to], amount=amount, from_=self.own[source], **fields)
        self.block(recorded, hash)

    def receive(self, whose, send, recorded=None, **fields):
        (hash,) = self.node.pocket(self.own[whose], hash=self.matching.translate(send), **fields)
        if recorded:
            self.block(recorded, hash)

    def change(self, whose, recorded, **fields):
        self.block(recorded, self.node.tell("change", account=self.own[whose], representative=self.own[whose], **fields)["hash"])

    # Each state of the recording, by the heading before which it has to be there.

    def begin(self):
        self.node.pay(self.own[G], amount=5 * 10**37, announce="none")
        (opened,) = self.node.pocket(self.own[G], style="legacy", announce="none")
        self.matching.allow(G, self.node.payments()[0]["from"])  # the recorded genesis is from nobody, this one from a bank
        self.block("04270D7F11C4B2B472F2854C5A59F2A7E84226CE9ED799DE75744BD7D85FC9D9", opened)

    def legacy_unconfirmed(self):
        self.pay(G, B, 3 * NANO, LEGACY_SEND, style="legacy", confirmed=False)

    def two_for_a(self):
        self.pay(G, A, NANO, FIRST_SEND)
        self.pay(G, A, 500000, SECOND_SEND)

    def a_opened(self):
        self.receive(A, FIRST_SEND, OPENED)

    def a_busy(self):
        self.receive(A, SECOND_SEND, RECEIVED)
        self.change(A, "39D966B68DD5225E837852EC8493E56AE46B9C6A197A46DFA459DAB98870CF90")
        self.pay(A, D, 500000, "BB7C7D37F43C6DB191A89EB1B597037D787170FF3EB9E4F27FD40EACB6E47732")
        self.pay(A, A, 1, "AD390435E67B7F14E1F9CBD9D57CF34F532FB6BF8E4A372B06909CC94791248F")

    def one_unconfirmed(self):
        self.pay(A, D, 7, "CDBAA8EBFC78036373B9B97466255B6B1E843CB34BC0688D4EEB0C38A1A1FCDB", confirmed=False)

    def b_legacy(self):
        self.receive(B, LEGACY_SEND, "571A78C61DE1F2C6B7451CBC4432025FC7600D9D46FA4AF08950C4DCDA732EFE", style="legacy")
        self.change(B, "1D706A1745FC2B4F3FB661B4BBD3D7E74B23AFA9848898598858401A578C9A3F", style="legacy")
        self.pay(B, D, NANO, B_SEND, style="legacy")
        for amount, recorded in D_SENDS:
            self.pay(G, D, amount, recorded)

    def d_wallet(self):
        self.receive(D, B_SEND, "35213B7692FE677C3F0D848B447B2661DA1BACD6A22512511C6F3EED74A2A7A1")

    def d_receives_by_itself(self):
        self.pay(G, D, NANO, LAST_SEND)
        self.receive(D, LAST_SEND, "8C8D1DFD5AF6039C1854A48B2C75A5132FAF9AAE8CCFF6CF4749631BAAAB818C")


LEGACY_SEND = "A5A0806F7FB1E088009172E9C9054ABFAD15AAB73F043956771940FC1BFA1506"
FIRST_SEND = "91CEAB9A2240BF83F26E2414E91794DD701C5B6B1689B178448537B1CC3B5461"
SECOND_SEND = "402C19C5269F7A8AA1E04CD3EC1B968B503D70D420B5BFE604C297F0E3223CC9"
OPENED = "634DD75357D25AEDBCBEEB6B1E78CDEA92466FF79015AF9F5EC60672BF5F2A58"
RECEIVED = "8CD6104855C0B2A094862C5CD6047F309AF018D588C5B75712B430C38304A490"
B_SEND = "AB23B6A903F707FD7984716C161F1C82E63C410F2852D9F4184AFEA4699DC435"
D_LAST = "42F788D9843F8703A0A881E9CCE25C3095DA5A0EF39D37EE2BB8B8971A0A9EBB"
D_SENDS = [
    (11, "311B9735E862E8EBAB55A1ED0FB275D1360383AC28805D0E9C3B18874B3BC705"),
    (12, "E3D65D17285FDE7C26D8A9A37A1E4AF8C836642A415B0D88DA2BBEDA8B885BA6"),
    (13, "A6DC8DE02394175DD9D5F6FD7C5A6F5AA8B8A4FF5E9B30373C1106170C13C9FD"),
    (14, D_LAST),
]
LAST_SEND = "12102C212910F4E8FA9F3E88430323EA262C77D4138718A03223FE277344C772"

STATES = {
    "version, fresh node": Stage.begin,
    "legacy send unconfirmed: receivable default": Stage.legacy_unconfirmed,
    # block_confirm, between them, is what confirms it here
    "A has two receivables, unopened: receivable simple": Stage.two_for_a,
    "A opened, one receivable left: receivable simple": Stage.a_opened,
    "A after open, receive, change, send, self-send: receivable simple": Stage.a_busy,
    "unconfirmed: receivable D include_only_confirmed=true": Stage.one_unconfirmed,
    "account_history of an account with legacy blocks": Stage.b_legacy,
    "receivable of D after wallet_add (auto-receive, receive_minimum default)": Stage.d_wallet,
    "receivable of D after a send of 1 nano with an auto-receiving wallet": Stage.d_receives_by_itself,
}


def test_every_recorded_call_gets_an_answer_of_the_recorded_shape(simnode):
    stage, played, unknown, wrong = Stage(simnode), 0, set(), []
    for call in recorded_calls():
        if call.heading in STATES:
            STATES[call.heading](stage)
        action = (call.fields or {}).get("action") if isinstance(call.fields, dict) else None
        if action in UNKNOWN:
            unknown.add(action)
            continue
        status, headers, body = simnode.post(stage.matching.translate(call.request).encode())
        text = body.decode()
        assert status == 200
        assert headers == [(name, str(len(body)) if name == "Content-Length" else value) for name, value in call.headers], call.heading
        assert as_boost_prints(text), (call.heading, text)
        assert as_boost_prints(call.body), call.heading
        wrong += [f"{call.heading}: {difference}" for difference in stage.matching.differences(call.answer, json.loads(text))]
        played += 1
    assert not wrong, "\n".join(wrong)
    assert unknown == UNKNOWN
    assert played >= 140


def test_receivable_obeys_its_flags_as_recorded(simnode):
    account = simnode.account()
    (hash,) = simnode.pay(account, confirmed=False)
    for only_confirmed, active in itertools.product((True, False), repeat=2):
        blocks = simnode.rpc("receivable", account=account, include_only_confirmed=only_confirmed, include_active=active)["blocks"]
        assert (hash in blocks) == (active and not only_confirmed)
    (passive,) = simnode.pay(account, confirmed=False, active=False)
    assert simnode.rpc("receivable", account=account, include_only_confirmed=False)["blocks"] == [passive]


def test_spellings_are_echoed_or_made_the_nodes_own(simnode):
    account = simnode.account()
    (hash,) = simnode.pay(account)
    simnode.pocket(account)
    old = account.replace("nano_", "xrb_")
    assert list(simnode.rpc("accounts_balances", accounts=[old])["balances"]) == [old]
    assert list(simnode.rpc("accounts_frontiers", accounts=[old])["frontiers"]) == [account]
    assert list(simnode.rpc("blocks_info", hashes=[hash.lower()])["blocks"]) == [hash.lower()]
    simnode.pay(account)
    assert list(simnode.rpc("accounts_receivable", accounts=[old])["blocks"]) == [account]
    assert simnode.rpc("account_balance", account=account.replace("_", "-"))["deprecated_account_format"] == "1"


# ---- the WebSocket ------------------------------------------------------------------------------------------------------


class Talk:
    """A session with the simulated node that plays a recorded conversation."""

    def __init__(self, connect, node, name, matching):
        self.session = connect(node, path="", subprotocol=None)
        self.matching = matching
        self.steps = recorded_conversation(name).steps
        self.name = name
        self._asked = 0

    def say(self):
        """What was said up to the first news; the acks have to come as recorded."""
        while self.steps and not self._is_news(self.steps[0]):
            step = self.steps.pop(0)
            if isinstance(step, str):
                self.session.send_text(self.matching.translate(step))
            else:
                self._compare(step, self.session.receive_text(20))

    @staticmethod
    def _is_news(step):
        return step is EOFError or (isinstance(step, Frame) and (step.opcode != 1 or "topic" in step.value))

    def _compare(self, frame, text):
        assert as_boost_prints(text), (self.name, text)
        assert as_boost_prints(frame.text)
        differences = list(self.matching.differences(frame.value, json.loads(text)))
        assert not differences, f"{self.name}: {differences}\n{text}"

    def hear(self):
        """All that has come by now: as much as was recorded, and alike."""
        self._asked += 1
        self.session.send_text(json.dumps({"action": "ping", "id": f"heard {self._asked}"}))
        came = []
        while True:
            text = self.session.receive_text(20)
            value = json.loads(text)
            if value.get("ack") == "pong":
                assert value["id"] == f"heard {self._asked}"
                break
            came.append(text)
        news = [step for step in self.steps if isinstance(step, Frame) and step.opcode == 1]
        assert len(came) == len(news), (self.name, came)
        for frame, text in zip(news, came, strict=True):
            self._compare(frame, text)
            self.steps.remove(frame)


@pytest.fixture
def stage(simnode):
    """The recorded accounts; G has the money, and has made no state block yet. Nobody has heard of any of it."""
    stage = Stage(simnode)
    stage.begin()
    return stage


@pytest.fixture
def talk(simnode, connect, stage):
    """Begins a recorded conversation."""

    def begin(name):
        talk = Talk(connect, simnode, name, stage.matching)
        talk.say()
        return talk

    return begin


# Recorded in one go: a state send to D, then a legacy open by B, and ten sessions that listened.
LISTENERS = [
    *("ws-active-only.txt", "ws-inactive-only.txt", "ws-filter-D.txt", "ws-filter-B.txt", "ws-filter-empty.txt", "ws-badaccount.txt"),
    *("ws-filter-noblock.txt", "ws-filter-update.txt", "ws-options-empty-then-update.txt", "ws-noblock.txt"),
]


@pytest.mark.parametrize("name", LISTENERS)
def test_each_filter_passes_and_hides_what_it_did(stage, talk, name):
    stage.pay(G, B, 3 * NANO, LEGACY_SEND)
    conversation = talk(name)
    stage.pay(G, D, 13, "A6DC8DE02394175DD9D5F6FD7C5A6F5AA8B8A4FF5E9B30373C1106170C13C9FD")
    stage.receive(B, LEGACY_SEND, "571A78C61DE1F2C6B7451CBC4432025FC7600D9D46FA4AF08950C4DCDA732EFE", style="legacy")
    conversation.hear()


def test_acks_and_pings_and_silences_are_the_recorded_ones(talk):
    for name in ("ws-binary-ping.txt", "ws-idle.txt"):
        talk(name).hear()


def test_malformed_json_ends_the_connection_without_a_word(talk):
    conversation = talk("ws-malformed.txt")
    assert conversation.steps[0] is EOFError
    assert conversation.session.receive_close() in (None, 1006)


def test_a_subscription_is_replaced_by_the_next(stage, talk, simnode):
    stage.pay(G, A, NANO, FIRST_SEND)
    stage.receive(A, FIRST_SEND)
    conversation = talk("ws-resubscribe.txt")
    simnode.pay(stage.own[A], amount=4)  # the first filter's
    stage.pay(A, B, 9, "5902AD5C64070CA4D91B00771888D6909A20EA77B90F4C0C4546D1535FEBC0A1")
    conversation.hear()


def test_without_options_there_is_no_update_and_unconfirmed_blocks_are_told(stage, talk, simnode):
    conversation = talk("ws-default.txt")
    stage.legacy_unconfirmed()
    simnode.confirm(stage.matching.translate(LEGACY_SEND))
    stage.two_for_a()
    conversation.hear()


@pytest.mark.parametrize(
    "first, second, amount, sent",
    [
        ("leak1-first-default.txt", "leak1-second-full.txt", 11, "311B9735E862E8EBAB55A1ED0FB275D1360383AC28805D0E9C3B18874B3BC705"),
        ("leak2-first-full.txt", "leak2-second-default.txt", 12, "E3D65D17285FDE7C26D8A9A37A1E4AF8C836642A415B0D88DA2BBEDA8B885BA6"),
    ],
)
def test_the_first_session_shapes_what_all_receive(stage, talk, first, second, amount, sent):
    conversations = [talk(first), talk(second)]
    stage.pay(G, D, amount, sent)
    for conversation in conversations:
        conversation.hear()


def test_all_that_can_be_included_is(stage, talk):
    stage.pay(G, B, 3 * NANO, LEGACY_SEND)
    stage.two_for_a()
    conversation = talk("ws-full.txt")
    stage.a_opened()
    stage.a_busy()
    conversation.hear()


def test_legacy_blocks_reach_only_those_who_filter_nothing_and_repeats_say_so(stage, talk, simnode):
    stage.pay(G, B, 3 * NANO, LEGACY_SEND)
    stage.receive(B, LEGACY_SEND, style="legacy")
    conversations = [talk(f"ws4b-{name}.txt") for name in ("all", "filter-B", "filter-D")]
    stage.change(B, "1D706A1745FC2B4F3FB661B4BBD3D7E74B23AFA9848898598858401A578C9A3F", style="legacy")
    stage.pay(B, D, NANO, B_SEND, style="legacy")
    stage.pay(G, D, 14, D_LAST)
    for hash in (D_LAST, B_SEND):
        simnode.rpc("block_confirm", hash=stage.matching.translate(hash))
    stage.d_wallet()
    stage.d_receives_by_itself()
    for conversation in conversations:
        conversation.hear()


def test_what_is_confirmed_with_another_is_inactive_and_the_end_is_a_goodbye(stage, talk, simnode):
    conversation = talk("inactive-ws.txt")
    stage.legacy_unconfirmed()
    simnode.confirm(stage.matching.translate(LEGACY_SEND))
    for amount, to, recorded in [(NANO, A, FIRST_SEND), (500000, A, SECOND_SEND), *((amount, D, recorded) for amount, recorded in D_SENDS)]:
        stage.pay(G, to, amount, recorded, confirmed=False)
    stage.pay(G, D, NANO, LAST_SEND)
    stage.receive(B, LEGACY_SEND, "571A78C61DE1F2C6B7451CBC4432025FC7600D9D46FA4AF08950C4DCDA732EFE", style="legacy")
    stage.change(B, "1D706A1745FC2B4F3FB661B4BBD3D7E74B23AFA9848898598858401A578C9A3F", style="legacy")
    stage.pay(B, D, NANO, B_SEND, style="legacy")
    stage.d_wallet()
    stage.receive(D, LAST_SEND, "8C8D1DFD5AF6039C1854A48B2C75A5132FAF9AAE8CCFF6CF4749631BAAAB818C")
    conversation.hear()
    (goodbye,) = conversation.steps
    simnode.stop()
    with pytest.raises(Closed) as closed:
        conversation.session.receive_text()
    assert (closed.value.code.to_bytes(2, "big") + closed.value.reason.encode()).decode("latin-1") == goodbye.text
