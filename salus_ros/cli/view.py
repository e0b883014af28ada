"""`salus view`."""

from pathlib import Path
from typing import Annotated

import typer

from salus_ros.cli.output import print_line


def view(
    store: Annotated[Path, typer.Argument(help="Episode store.", show_default=False)],
    episode: Annotated[int, typer.Option(help="Episode to begin with, from 0.")] = 0,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but the loopback asks for a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 8088,
    token: Annotated[
        str, typer.Option(help="Token that the page asks for; empty: one is made where needed.")
    ] = "",
) -> None:
    """Show recorded episodes in the browser: images, risk, kinds of failure and signals by step.

    It is the page of the running graph (`view:=true` of the launch file), with a slider. It
    serves until Ctrl-C.
    """
    import threading

    from salus_ros.view.server import ViewServer
    from salus_ros.view.stored import Recording

    server = ViewServer(Recording(store, episode), host=host, port=port, token=token)
    print_line(f"open {server.address}    (Ctrl-C ends it)")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        pass
    finally:
        server.close()
