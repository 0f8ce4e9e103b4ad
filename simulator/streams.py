"""The end of a server of asyncio's streams, with nothing of it left open."""

import asyncio


async def end(server: asyncio.Server) -> None:
    """Take no more connections, and cancel every other task of this loop until there is none."""
    for listening in server.sockets:
        asyncio.get_running_loop().remove_reader(listening.fileno())
    # what has been accepted becomes a connection only now; that of a server that is closed is forgotten, and left open
    await asyncio.sleep(0)
    server.close()
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.sleep(0)  # none is cancelled before it began: it would not get to what closes its connection
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
