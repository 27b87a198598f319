"""Calls the one address that it is given, with sound and pictures, and says what came back."""

import asyncio
import json
import sys
import urllib.request

from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack


def post(path, body):
    request = urllib.request.Request(sys.argv[1] + path, data=body.encode(), method="POST")
    with urllib.request.urlopen(request, timeout=30) as response:
        return response.read().decode()


async def call():
    connection = RTCPeerConnection()
    connection.addTrack(AudioStreamTrack())
    connection.addTrack(VideoStreamTrack())
    frames = {"audio": 0, "video": 0}
    tasks = []

    @connection.on("track")
    def on_track(track):
        async def take():
            while True:
                await track.recv()
                frames[track.kind] += 1

        tasks.append(asyncio.ensure_future(take()))

    await connection.setLocalDescription(await connection.createOffer())
    loop = asyncio.get_running_loop()
    answer = await loop.run_in_executor(None, post, "/offer", connection.localDescription.sdp)
    await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    await asyncio.sleep(7)
    counted = {}
    for one in (await connection.getStats()).values():
        if one.type == "inbound-rtp":
            counted[one.kind] = {"packetsReceived": one.packetsReceived, "packetsLost": one.packetsLost}
    state = connection.connectionState
    result = {"state": state, "frames": frames, "inbound": counted}
    await loop.run_in_executor(None, post, "/stats", json.dumps(result))
    for task in tasks:
        task.cancel()
    await connection.close()


asyncio.run(call())
