"""Who a client of the server is: it says so in a header, and is believed."""

from __future__ import annotations

from langgraph_sdk import Auth

auth = Auth()


@auth.authenticate
async def user(headers: dict[bytes, bytes]) -> Auth.types.MinimalUserDict:
    name = headers.get(b"x-user")
    if name is None:
        raise Auth.exceptions.HTTPException(status_code=401, detail="who are you?")
    return {"identity": name.decode()}
