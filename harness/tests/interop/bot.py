"""A bot written with Microsoft's own clients for Python, against the rig.

MSAL gets the token from the rig's login service, msgraph-sdk makes every request, and
the webhook checks the token of every notification against the keys that the rig
publishes. What differs from a bot for the real platform is the base addresses alone.
"""

import asyncio
import io
import json
import os
import queue
import sys
import threading
import urllib.request
import wave
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
import msal
from azure.core.credentials import AccessToken
from kiota_abstractions.api_error import APIError
from kiota_authentication_azure.azure_identity_authentication_provider import (
    AzureIdentityAuthenticationProvider,
)
from msgraph import GraphRequestAdapter, GraphServiceClient
from msgraph.generated.communications.calls.item.add_large_gallery_view.add_large_gallery_view_post_request_body import (
    AddLargeGalleryViewPostRequestBody,
)
from msgraph.generated.communications.calls.item.answer.answer_post_request_body import (
    AnswerPostRequestBody,
)
from msgraph.generated.communications.calls.item.cancel_media_processing.cancel_media_processing_post_request_body import (
    CancelMediaProcessingPostRequestBody,
)
from msgraph.generated.communications.calls.item.mute.mute_post_request_body import (
    MutePostRequestBody,
)
from msgraph.generated.communications.calls.item.participants.invite.invite_post_request_body import (
    InvitePostRequestBody,
)
from msgraph.generated.communications.calls.item.participants.item.mute.mute_post_request_body import (
    MutePostRequestBody as MuteParticipantPostRequestBody,
)
from msgraph.generated.communications.calls.item.participants.item.start_hold_music.start_hold_music_post_request_body import (
    StartHoldMusicPostRequestBody,
)
from msgraph.generated.communications.calls.item.participants.item.stop_hold_music.stop_hold_music_post_request_body import (
    StopHoldMusicPostRequestBody,
)
from msgraph.generated.communications.calls.item.play_prompt.play_prompt_post_request_body import (
    PlayPromptPostRequestBody,
)
from msgraph.generated.communications.calls.item.record_response.record_response_post_request_body import (
    RecordResponsePostRequestBody,
)
from msgraph.generated.communications.calls.item.redirect.redirect_post_request_body import (
    RedirectPostRequestBody,
)
from msgraph.generated.communications.calls.item.reject.reject_post_request_body import (
    RejectPostRequestBody,
)
from msgraph.generated.communications.calls.item.subscribe_to_tone.subscribe_to_tone_post_request_body import (
    SubscribeToTonePostRequestBody,
)
from msgraph.generated.communications.calls.item.transfer.transfer_post_request_body import (
    TransferPostRequestBody,
)
from msgraph.generated.communications.calls.item.unmute.unmute_post_request_body import (
    UnmutePostRequestBody,
)
from msgraph.generated.models.call import Call
from msgraph.generated.models.chat_info import ChatInfo
from msgraph.generated.models.identity import Identity
from msgraph.generated.models.identity_set import IdentitySet
from msgraph.generated.models.invitation_participant_info import InvitationParticipantInfo
from msgraph.generated.models.media_info import MediaInfo
from msgraph.generated.models.media_prompt import MediaPrompt
from msgraph.generated.models.modality import Modality
from msgraph.generated.models.online_meeting import OnlineMeeting
from msgraph.generated.models.operation_status import OperationStatus
from msgraph.generated.models.organizer_meeting_info import OrganizerMeetingInfo
from msgraph.generated.models.reject_reason import RejectReason
from msgraph.generated.models.service_hosted_media_config import ServiceHostedMediaConfig
from msgraph.generated.users.item.online_meetings.create_or_get.create_or_get_post_request_body import (
    CreateOrGetPostRequestBody,
)

RIG = os.environ["RIG"]
CONTROL = os.environ["RIG_CONTROL"]
APP = "11111111-1111-4111-8111-111111111111"
SECRET = "s3cret of Python"
TENANT = "33333333-3333-4333-8333-333333333333"
ANN = "22222222-2222-4222-8222-222222222222"
BOB = "22222222-2222-4222-8222-222222222223"
PORT = 39781
HOME = f"http://127.0.0.1:{PORT}"
PATIENCE = 30

notifications: "queue.Queue[dict]" = queue.Queue()
refused = []


def prompt_file():
    """A second of a triangle: WAV, one channel, 16 bits, 16 kHz."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16000)
        samples = (abs(n % 40 - 20) * 400 - 4000 for n in range(16000))
        out.writeframes(b"".join(s.to_bytes(2, "little", signed=True) for s in samples))
    return file.getvalue()


class Webhook(BaseHTTPRequestHandler):
    """Takes notifications with a good token, and serves the prompt."""

    keys = None

    def do_GET(self):
        body = prompt_file()
        self.send_response(200)
        self.send_header("Content-Type", "audio/wav")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            token = self.headers["Authorization"].split()[1]
            key = self.keys.get_signing_key_from_jwt(token)
            claims = jwt.decode(
                token,
                key.key,
                algorithms=["RS256"],
                audience=APP,
                issuer="https://api.botframework.com",
            )
            assert claims["tid"] == TENANT, claims
        except Exception as error:  # whatever is wrong, the notification is not believed
            refused.append(repr(error))
            self.send_response(401)
            self.end_headers()
            return
        self.send_response(202)
        self.end_headers()
        for item in json.loads(body)["value"]:
            notifications.put(item)

    def log_message(self, *_):
        pass


class Credential:
    """What azure-identity would be, over MSAL and the rig's login service."""

    def __init__(self):
        self.msal = msal.ConfidentialClientApplication(
            APP,
            client_credential=SECRET,
            authority=f"{RIG}/{TENANT}",
            # MSAL asks Microsoft about login hosts that it does not know.
            instance_discovery=False,
        )

    def get_token(self, *scopes, **_):
        answer = self.msal.acquire_token_for_client(list(scopes))
        assert "access_token" in answer, answer
        return AccessToken(answer["access_token"], answer["expires_in"])


def graph():
    provider = AzureIdentityAuthenticationProvider(
        Credential(),
        scopes=["https://graph.microsoft.com/.default"],
        allowed_hosts=[RIG.split("://")[1], "localhost"],
    )
    adapter = GraphRequestAdapter(provider)
    adapter.base_url = f"{RIG}/v1.0"
    return GraphServiceClient(request_adapter=adapter)


def rig(method, path, body=None):
    """The rig's control API: what people do."""
    request = urllib.request.Request(
        CONTROL + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        text = response.read()
    return json.loads(text) if text else None


async def told(what, fits):
    """The next notification that fits."""
    seen = []
    while True:
        try:
            item = await asyncio.to_thread(notifications.get, True, PATIENCE)
        except queue.Empty:
            raise AssertionError(f"never told: {what}; {refused}; saw {seen}") from None
        if fits(item):
            return item
        seen.append(item)


def state(call, wanted):
    def fits(item):
        data = item["resourceData"]
        url = item["resourceUrl"].lower()
        return url.endswith(f"/calls/{call}") and data.get("state") == wanted

    return fits


def completed(operation):
    def fits(item):
        data = item["resourceData"]
        told_of = isinstance(data, dict) and data.get("id") == operation
        return told_of and data.get("status") == "completed"

    return fits


def ended(call):
    return lambda item: item["changeType"] == "deleted" and call in item["resourceUrl"].lower()


def person(user):
    return InvitationParticipantInfo(identity=IdentitySet(user=Identity(id=user)))


def prompts():
    info = MediaInfo(uri=f"{HOME}/prompt.wav", resource_id="4d02a5d7-02b3-4b6c-8a1f-0c7a3f3f3f01")
    return [MediaPrompt(media_info=info)]


def a_call(targets):
    return Call(
        callback_uri=f"{HOME}/api/calls",
        requested_modalities=[Modality.Audio],
        media_config=ServiceHostedMediaConfig(),
        targets=targets,
        tenant_id=TENANT,
    )


async def incoming():
    """Ann calls; the bot answers, plays, listens, records, and hangs up."""
    client = graph()
    called = rig("POST", "/rig/calls", {"user": "Ann", "app": APP})
    call = called["call"]
    await told("incoming", state(call, "incoming"))
    handle = client.communications.calls.by_call_id(call)
    await answer(handle)
    await told("established", state(call, "established"))

    subscribed = await handle.subscribe_to_tone.post(SubscribeToTonePostRequestBody(client_context="keys"))
    assert subscribed.status == OperationStatus.Completed, subscribed
    played = await handle.play_prompt.post(
        PlayPromptPostRequestBody(client_context="play", prompts=prompts())
    )
    assert played.status == OperationStatus.Running, played
    await told("the prompt was played", completed(played.id))
    rig("POST", f"/rig/legs/{called['leg']}/press", {"keys": "7"})
    await told(
        "a key", lambda item: "toneInfo" in item["resourceData"] and item["resourceData"]["toneInfo"]["tone"] == "tone7"
    )
    recorded = await handle.record_response.post(
        RecordResponsePostRequestBody(
            client_context="record",
            max_record_duration_in_seconds=2,
            initial_silence_timeout_in_seconds=1,
            max_silence_timeout_in_seconds=1,
            play_beep=False,
        )
    )
    assert recorded.id, recorded
    await told("the end of the recording", lambda item: recorded.id in item["resourceUrl"].lower())
    cancelled = await handle.cancel_media_processing.post(
        CancelMediaProcessingPostRequestBody(client_context="cancel")
    )
    assert cancelled.status == OperationStatus.Completed, cancelled
    await handle.keep_alive.post()
    there = await handle.get()
    assert there.id == call and there.state.value == "established", there
    roster = await handle.participants.get()
    assert len(roster.value) == 2, roster
    await handle.delete()
    await told("the end", ended(call))
    try:
        await handle.get()
        raise AssertionError("a call that is over is still there")
    except APIError as error:
        assert error.response_status_code == 404 and error.error.code == "8522", error


async def answer(handle):
    await handle.answer.post(
        AnswerPostRequestBody(
            callback_uri=f"{HOME}/api/calls",
            accepted_modalities=[Modality.Audio],
            media_config=ServiceHostedMediaConfig(),
        )
    )


async def rung_at(user):
    """The leg of a person whose telephone rings."""
    for _ in range(PATIENCE * 10):
        for leg in rig("GET", "/rig/legs")["legs"]:
            if leg["party"] == {"user": user} and leg["standing"] == "ringing":
                return leg["id"]
        await asyncio.sleep(0.1)
    raise AssertionError(f"nobody rings at {user}")


def hang_up(leg):
    """A person hangs up, and is free to be called again."""
    rig("POST", f"/rig/legs/{leg}/hangUp", {})


async def answered_by(user):
    leg = await rung_at(user)
    rig("POST", f"/rig/legs/{leg}/answer", {})
    return leg


async def outgoing():
    """The bot calls Bob, who answers and later hangs up."""
    client = graph()
    created = await client.communications.calls.post(a_call([person(BOB)]))
    assert created.id and created.state.value == "establishing", created
    leg = await answered_by(BOB)
    await told("established", state(created.id, "established"))
    hang_up(leg)
    await told("the end", ended(created.id))


async def rejected_and_redirected():
    client = graph()
    call = rig("POST", "/rig/calls", {"user": "Ann", "app": APP})["call"]
    await told("incoming", state(call, "incoming"))
    await client.communications.calls.by_call_id(call).reject.post(
        RejectPostRequestBody(reason=RejectReason.Busy)
    )
    await told("the end", ended(call))

    call = rig("POST", "/rig/calls", {"user": "Ann", "app": APP})["call"]
    await told("incoming", state(call, "incoming"))
    await client.communications.calls.by_call_id(call).redirect.post(
        RedirectPostRequestBody(targets=[person(BOB)], callback_uri=f"{HOME}/api/calls", timeout=30)
    )
    leg = await answered_by(BOB)
    await told("the end", ended(call))
    hang_up(leg)


async def transferred():
    client = graph()
    call = rig("POST", "/rig/calls", {"user": "Ann", "app": APP})["call"]
    await told("incoming", state(call, "incoming"))
    handle = client.communications.calls.by_call_id(call)
    await answer(handle)
    await told("established", state(call, "established"))
    await handle.transfer.post(TransferPostRequestBody(transfer_target=person(BOB)))
    leg = await answered_by(BOB)
    await told("the end", ended(call))
    hang_up(leg)


def of_user(roster, user):
    """The participant of a person."""
    users = {one.info.identity.user.id: one for one in roster.value if one.info.identity.user}
    return users[user]


async def group():
    """The bot calls two, and does to them and to itself what the API has for conferences."""
    client = graph()
    created = await client.communications.calls.post(a_call([person(ANN), person(BOB)]))
    ann, bob = await answered_by(ANN), await answered_by(BOB)
    await told("established", state(created.id, "established"))
    handle = client.communications.calls.by_call_id(created.id)
    muted = await handle.mute.post(MutePostRequestBody(client_context="mute"))
    assert muted.status == OperationStatus.Completed, muted
    unmuted = await handle.unmute.post(UnmutePostRequestBody(client_context="unmute"))
    assert unmuted.status == OperationStatus.Completed, unmuted
    roster = await handle.participants.get()
    assert len(roster.value) == 3, roster

    participant = handle.participants.by_participant_id(of_user(roster, BOB).id)
    muted = await participant.mute.post(MuteParticipantPostRequestBody(client_context="Bob"))
    assert muted.status == OperationStatus.Completed, muted
    assert (await participant.get()).is_muted
    held = await participant.start_hold_music.post(
        StartHoldMusicPostRequestBody(custom_prompt=prompts()[0], client_context="hold")
    )
    await told("Bob is on hold", completed(held.id))
    back = await participant.stop_hold_music.post(StopHoldMusicPostRequestBody(client_context="back"))
    await told("Bob is back", completed(back.id))
    gallery = await handle.add_large_gallery_view.post(
        AddLargeGalleryViewPostRequestBody(client_context="gallery")
    )
    await told("there is a gallery", completed(gallery.id))
    await participant.delete()
    await told("Bob was removed", lambda item: is_roster_without(item, created.id, BOB))

    await handle.delete()
    await told("the end", ended(created.id))
    hang_up(ann)


def is_roster_without(item, call, user):
    if not item["resourceUrl"].lower().endswith(f"/calls/{call}/participants"):
        return False
    users = [(one["info"]["identity"].get("user") or {}).get("id") for one in item["resourceData"]]
    return user not in users


async def joined():
    """The bot joins a meeting of Ann's, and leaves it."""
    client = graph()
    made = await client.users.by_user_id(ANN).online_meetings.post(OnlineMeeting(subject="Standup"))
    call = a_call(None)
    call.chat_info = ChatInfo(thread_id=made.chat_info.thread_id, message_id="0")
    call.meeting_info = OrganizerMeetingInfo(
        organizer=IdentitySet(user=Identity(id=ANN, additional_data={"tenantId": TENANT}))
    )
    created = await client.communications.calls.post(call)
    await told("established", state(created.id, "established"))
    handle = client.communications.calls.by_call_id(created.id)
    roster = await handle.participants.get()
    assert len(roster.value) == 1, roster
    await handle.delete()
    await told("the end", ended(created.id))


async def invited():
    """Ann calls; the bot brings Bob in."""
    client = graph()
    call = rig("POST", "/rig/calls", {"user": "Ann", "app": APP})["call"]
    await told("incoming", state(call, "incoming"))
    handle = client.communications.calls.by_call_id(call)
    await answer(handle)
    await told("established", state(call, "established"))
    operation = await handle.participants.invite.post(
        InvitePostRequestBody(participants=[person(BOB)], client_context="invite")
    )
    assert operation.id, operation
    leg = await answered_by(BOB)
    await told("Bob is in", completed(operation.id))
    await handle.delete()
    await told("the end", ended(call))
    hang_up(leg)


async def meetings():
    client = graph()
    mine = client.users.by_user_id(ANN).online_meetings
    start = datetime.now(timezone.utc)
    made = await mine.post(
        OnlineMeeting(subject="Plans", start_date_time=start, end_date_time=start + timedelta(hours=1))
    )
    assert made.subject == "Plans" and made.join_web_url, made
    one = await mine.by_online_meeting_id(made.id).get()
    assert one.id == made.id
    changed = await mine.by_online_meeting_id(made.id).patch(OnlineMeeting(subject="Better plans"))
    assert changed.subject == "Better plans", changed
    body = CreateOrGetPostRequestBody(external_id="7eb8263f-d0e0-4149-bb1c-1f0476083c56", subject="Again")
    first, second = await mine.create_or_get.post(body), await mine.create_or_get.post(body)
    assert first.id == second.id
    await mine.by_online_meeting_id(made.id).delete()
    try:
        await mine.by_online_meeting_id(made.id).get()
        raise AssertionError("a meeting that was deleted is still there")
    except APIError as error:
        assert error.response_status_code == 404, error


async def forbidden():
    """A wrong secret, and a token that is none."""
    wrong = msal.ConfidentialClientApplication(
        APP, client_credential="wrong", authority=f"{RIG}/{TENANT}", instance_discovery=False
    ).acquire_token_for_client(["https://graph.microsoft.com/.default"])
    assert wrong["error"] == "invalid_client" and 7000215 in wrong["error_codes"], wrong


async def main():
    server = ThreadingHTTPServer(("127.0.0.1", PORT), Webhook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # Where samples look keys up, with the base address changed.
    with urllib.request.urlopen(f"{CONTROL}/v1/.well-known/OpenIdConfiguration") as response:
        metadata = json.load(response)
    Webhook.keys = jwt.PyJWKClient(metadata["jwks_uri"])
    failed = 0
    wanted = sys.argv[1:]
    for step in (
        forbidden, incoming, outgoing, rejected_and_redirected, transferred, group, invited, joined, meetings,
    ):
        if wanted and step.__name__ not in wanted:
            continue
        try:
            await step()
            print(f"  ok      {step.__name__}")
        except Exception as error:  # every step is tried, and each failure is told
            failed += 1
            detail = getattr(error, "error", None) or error
            print(f"  FAILED  {step.__name__}: {type(error).__name__}: {detail}")
    if refused:
        failed += 1
        print(f"  FAILED  notifications that were not believed: {refused}")
    sys.exit(1 if failed else 0)


asyncio.run(main())
