"""The SuperLink's own process: Flower's application, its state on disk, and before it the calls for whole messages."""

from __future__ import annotations

from pathlib import Path

import uvicorn
from flwr.common.constant import ISOLATION_MODE_PROCESS, TRANSPORT_TYPE_GRPC_RERE
from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
from flwr.supercore.http_logging import get_uvicorn_log_config
from flwr.supercore.logger import console_handler
from flwr.superlink.cli.flower_superlink import SuperLinkLifespan
from flwr.superlink.config_loader import SuperLinkLifespanConfig, load_control_authn_plugin
from flwr.superlink.main import create_app

from medfl.errors import EngineError
from medfl.run.flower.holding import Holding
from medfl.run.flower.superlink import HOST, SECRET, Certificates
from medfl.run.flower.whole import Whole

KEPT = 75
"""Seconds for which an idle connection is kept: longer than those who call keep theirs, so that none is cut in use."""
ENDING = 3
"""Seconds that calls have to come to their end."""


def run(folder: Path, port: int, certificates: Certificates) -> None:
    """Serve a SuperLink on loopback until told to end.

    Parameters
    ----------
    folder
        Where its database and its secret are.
    port
        Where it listens.
    certificates
        What it proves its identity with.
    """
    superlink = create_app(_config(folder, port, certificates), SuperLinkLifespan)
    state = superlink.state.linkstate_factory.state()
    if not isinstance(state, SqlLinkState):
        raise EngineError("the SuperLink keeps its state in a database on disk", where=str(folder))
    uvicorn.run(
        Whole(superlink, Holding(state)),
        host=HOST,
        port=port,
        access_log=False,
        log_config=get_uvicorn_log_config(console_handler.level),
        ssl_keyfile=certificates.key,
        ssl_certfile=certificates.certificate,
        timeout_keep_alive=KEPT,
        timeout_graceful_shutdown=ENDING,
        workers=1,
    )


def _config(folder: Path, port: int, certificates: Certificates) -> SuperLinkLifespanConfig:
    """Return what Flower's command line makes of TLS, a database, node authentication and executors of one's own."""
    pem = tuple(path.read_bytes() for path in (certificates.root, certificates.certificate, certificates.key))
    return SuperLinkLifespanConfig(
        control_address="",
        health_server_address=None,
        host=HOST,
        port=port,
        insecure=False,
        certificates=(pem[0], pem[1], pem[2]),
        superexec_auth_secret=(folder / SECRET).read_bytes(),
        authn_plugin=load_control_authn_plugin(),
        event_log_plugin=None,
        fleet_event_log_plugin=None,
        enable_event_log=False,
        artifact_provider=None,
        enable_supernode_auth=True,
        fleet_api_type=TRANSPORT_TYPE_GRPC_RERE,
        fleet_api_address=None,
        simulation=False,
        ssl_ca_certfile=str(certificates.root),
        ssl_certfile=str(certificates.certificate),
        ssl_keyfile=str(certificates.key),
        database=str(folder / "state.db"),
        isolation=ISOLATION_MODE_PROCESS,
        runtime_dependency_install=False,
    )
