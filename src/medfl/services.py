"""Files with which an operating system keeps a hub or a site running, and with which a web server passes a hub on.

Text from what is told, so that each is the same wherever it is made; nothing here looks at this machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from medfl.errors import EnrolmentError

FIRST_FREE = 1024
"""The first port that anybody may listen on."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a service needs to know of a hub or a site.

    Parameters
    ----------
    title
        What people call it.
    home
        Its folder, the only one that the service may write to.
    user
        Who owns that, and whom the service runs as.
    python
        The Python that MEDfl is installed in.
    """

    title: str
    home: Path
    user: str
    python: Path


def hub_unit(kept: Kept, *, port: int, bind: str | None = None) -> str:
    """Return a systemd unit for a hub that listens on a port.

    Raises
    ------
    EnrolmentError
        If something cannot stand in a unit.
    """
    words = ["-m", "medfl", "hub", "start", "--home", str(kept.home), "--port", str(port)]
    words += [] if bind is None else ["--bind", bind]
    right = "CAP_NET_BIND_SERVICE" if port < FIRST_FREE else ""
    return _unit(kept, f"MEDfl hub {kept.title}", words, right=right)


def site_unit(kept: Kept) -> str:
    """Return a systemd unit for a site's agent.

    Raises
    ------
    EnrolmentError
        If something cannot stand in a unit.
    """
    words = ["-m", "medfl", "site", "start", "--home", str(kept.home)]
    return _unit(kept, f"MEDfl site {kept.title}", words, right="")


def containerfile(port: int) -> str:
    """Return a Containerfile for a hub whose folder is a volume."""
    return _CONTAINER.replace("PORT", str(port))


def nginx(host: str, port: int, *, authority: Path) -> str:
    """Return what nginx needs to pass a hub on, on port 443.

    Parameters
    ----------
    host
        The name by which sites reach the hub.
    port
        Where the hub listens, on the same machine.
    authority
        The certificate that the hub's own is checked with, or a bundle of them.
    """
    return _NGINX.replace("HOST", host).replace("PORT", str(port)).replace("AUTHORITY", str(authority))


def caddy(host: str, port: int) -> str:
    """Return what Caddy needs to pass a hub on, on port 443; parameters as of :func:`nginx`."""
    return _CADDY.replace("HOST", host).replace("PORT", str(port))


def _unit(kept: Kept, description: str, words: list[str], *, right: str) -> str:
    where = str(kept.home)
    ambient = f"AmbientCapabilities={right}\n" if right else ""
    return _UNIT.format(
        description=" ".join(description.split()).replace("%", "%%"),
        # Only of a command is $ replaced.
        command=" ".join(_quoted(word).replace("$", "$$") for word in (str(kept.python), *words)),
        user=kept.user,
        home=_quoted(where),
        environment=_path(where + "/environment"),
        flower=_quoted(f"FLWR_HOME={where}/.flwr"),
        figures=_quoted(f"MPLCONFIGDIR={where}/.matplotlib"),
        capabilities=f"{ambient}CapabilityBoundingSet={right}",
    )


def _quoted(word: str) -> str:
    """Return a word as a unit has it: % stands for itself."""
    if word.isascii() and all(letter.isalnum() or letter in "/._-=:" for letter in word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{_plain(escaped)}"'


def _path(path: str) -> str:
    """Return a path where a unit takes the rest of the line as it is."""
    return _plain(path).replace("%", "%%")


def _plain(text: str) -> str:
    if not text.isprintable():
        raise EnrolmentError(
            "a folder with such a name cannot stand in a systemd unit",
            where=repr(text)[:200],
            remedy="choose a folder whose name has no line breaks, with --home",
        )
    return text


_UNIT = """\
# {description}
# Put it into /etc/systemd/system/, then: systemctl daemon-reload && systemctl enable --now NAME
[Unit]
Description={description}
Wants=network-online.target
After=network-online.target
# It is started again for ever: it goes on where it was.
StartLimitIntervalSec=0

[Service]
Type=exec
User={user}
ExecStart={command}
# HTTPS_PROXY=… and the like, one a line, where they are needed; the file may be missing.
EnvironmentFile=-{environment}
Environment={flower} {figures}
Restart=on-failure
RestartSec=5
# What it began is ended by itself, and by systemd only if that takes too long.
KillMode=mixed
TimeoutStopSec=60
UMask=0077

# It may write to its own folder and nowhere else, and has no rights that other programs lack.
ReadWritePaths={home}
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
# Hides graphics cards too; take it out where models are trained on one.
PrivateDevices=yes
NoNewPrivileges=yes
{capabilities}
LockPersonality=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RemoveIPC=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
SystemCallFilter=~@privileged

[Install]
WantedBy=multi-user.target
"""
_CONTAINER = """\
# A MEDfl hub. In a checkout of MEDfl:
#   podman build -t medfl-hub -f Containerfile .
# Make the hub, once, and serve it (docker takes the same words):
#   podman run --rm -v medfl-hub:/hub medfl-hub hub init --name NAME --host HOST --port PORT
#   podman run -d --name medfl-hub --restart on-failure --read-only --tmpfs /tmp --cap-drop all \\
#     --security-opt no-new-privileges -v medfl-hub:/hub -p PORT:PORT medfl-hub
# Everything else while it runs: podman exec medfl-hub medfl hub sites
FROM docker.io/library/python:3.12-slim
COPY . /source
RUN pip install --no-cache-dir '/source[hub]' && rm -r /source
RUN useradd --system --uid 10001 --home-dir /hub medfl && install -d -m 700 -o medfl -g medfl /hub
USER medfl
ENV MEDFL_HUB_HOME=/hub FLWR_HOME=/hub/.flwr MPLCONFIGDIR=/tmp/matplotlib
VOLUME /hub
EXPOSE PORT
STOPSIGNAL SIGTERM
ENTRYPOINT ["medfl"]
CMD ["hub", "start", "--port", "PORT"]
"""
_NGINX = """\
# nginx before a MEDfl hub; into /etc/nginx/conf.d/. Serve the hub on this machine only:
#   medfl hub behind 127.0.0.1
#   medfl hub start --bind 127.0.0.1 --port PORT
# Sites trust the certificate that the hub itself has, and no other: show the same here, copied from tls/ in its folder.
map $http_upgrade $medfl_connection {
    default upgrade;
    ''      '';
}

server {
    listen 443 ssl;
    listen [::]:443 ssl;
    server_name HOST;
    ssl_certificate     /etc/nginx/medfl/hub.crt;
    ssl_certificate_key /etc/nginx/medfl/hub.pem;
    ssl_protocols       TLSv1.2 TLSv1.3;

    proxy_ssl_verify on;
    proxy_ssl_name HOST;
    proxy_ssl_trusted_certificate "AUTHORITY";
    proxy_http_version 1.1;
    proxy_set_header Host $host;
    # Who comes, as nginx has seen it; whatever they say of themselves is dropped.
    proxy_set_header X-Forwarded-For $remote_addr;
    # Sites are woken over a WebSocket, and pages told of changes; a sign of life passes every 20 s.
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $medfl_connection;
    proxy_read_timeout 75s;
    proxy_buffering off;

    location /v1/ {
        proxy_pass https://127.0.0.1:PORT;
        # Models pass in parts, as they come.
        client_max_body_size 2g;
        proxy_request_buffering off;
    }

    # The pages, for people. Where only sites are to pass, write "return 404;" in place of these two lines.
    location / {
        proxy_pass https://127.0.0.1:PORT;
        client_max_body_size 2m;
    }
}
"""
_CADDY = """\
# Caddy before a MEDfl hub; into /etc/caddy/Caddyfile. Serve the hub on this machine only:
#   medfl hub behind 127.0.0.1
#   medfl hub start --bind 127.0.0.1 --port PORT
# Sites trust the certificate that the hub itself has, and no other: show the same here, copied from tls/ in its folder.
# authority.crt is the one in authority/ there; with a certificate that you bought, that of who signed it.
HOST {
    tls /etc/caddy/medfl/hub.crt /etc/caddy/medfl/hub.pem
    # WebSockets, with which sites are woken, pass without a word more. With "handle /v1/*" only sites pass.
    handle {
        reverse_proxy https://127.0.0.1:PORT {
            flush_interval -1
            # Who comes, as Caddy has seen it; whatever they say of themselves is dropped.
            header_up X-Forwarded-For {remote_host}
            transport http {
                tls_server_name HOST
                tls_trust_pool file /etc/caddy/medfl/authority.crt
            }
        }
    }
}
"""
