"""A bot that greets who comes and answers in chat: CONCLAVE_LINK='...' python examples/chat_bot.py"""

import asyncio
import os

from conference.meeting import ChatReceived, Meeting, MemberJoined


async def main() -> None:
    async with Meeting.join(os.environ["CONCLAVE_LINK"], name="Bot") as meeting:
        print("security code:", await meeting.security_code(), flush=True)
        async for event in meeting.events():
            match event:
                case MemberJoined(person=person):
                    await meeting.chat(f"Welcome, {person.name}. I know !who and !bye.")
                case ChatReceived(text="!who"):
                    await meeting.chat(", ".join(person.name for person in meeting.members))
                case ChatReceived(sender=sender, text="!bye"):
                    await meeting.chat(f"Goodbye, {sender.name}.")
                    meeting.leave()
        print(meeting.end_reason)


asyncio.run(main())
