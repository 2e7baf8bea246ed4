"""Reaching others: sockets of every family, names, libraries; and the one socket there is."""

from rlm_mcp.sandbox.escapes.attempt import Attempt, Expected

_FAMILY = """
import socket
def reach(family, style, address, protocol=0):
    end = socket.socket(family, style, protocol)
    end.settimeout(1)
    if style == socket.SOCK_STREAM:
        end.connect(address)
    else:
        end.sendto(b'out', address)
"""


def _family(name: str, code: str, *, is_control: bool = False) -> Attempt:
    return Attempt(name=name, cells=(_FAMILY + code,), is_control=is_control)


ATTEMPTS = (
    _family(
        "IPv4, stream",
        "tried('tcp', lambda: reach(socket.AF_INET, socket.SOCK_STREAM, ('127.0.0.1', C['tcp'])))",
        is_control=True,
    ),
    _family(
        "IPv4, datagram",
        "tried('udp', lambda: reach(socket.AF_INET, socket.SOCK_DGRAM, ('127.0.0.1', C['udp'])))",
        is_control=True,
    ),
    _family("IPv6", "tried('tcp6', lambda: reach(socket.AF_INET6, socket.SOCK_STREAM, ('::1', C.get('tcp6', 9))))"),
    _family(
        "a unix socket in the repository",
        """
tried('unix', lambda: reach(socket.AF_UNIX, socket.SOCK_STREAM, C['unix']))
"""
        "tried('mapped', lambda: reach(socket.AF_UNIX, socket.SOCK_STREAM, repo.root + '/socket'))",
        is_control=True,
    ),
    _family(
        "an abstract unix socket",
        "tried('abstract', lambda: reach(socket.AF_UNIX, socket.SOCK_STREAM, chr(0) + C['token']))",
        is_control=True,
    ),
    Attempt(
        name="every family and style by number",
        cells=(
            """
for family in range(0, 64):
    for style in (1, 2, 3, 5, 10, 1 | 0o2000000):
        for protocol in (0, 1, 6, 17, 255):
            try:
                call('socket', family, style, protocol)
            except OSError as error:
                if error.errno != 1:
                    print('ESCAPED: another answer than EPERM', family, style, error)
            else:
                print('ESCAPED: a socket', family, style)
tried('the last', lambda: call('socket', 16, 3, 0))
""",
        ),
    ),
    Attempt(
        name="netlink, packet, raw, vsock, bluetooth, alg",
        cells=(
            """
import socket
for name in ('AF_NETLINK', 'AF_PACKET', 'AF_VSOCK', 'AF_BLUETOOTH', 'AF_ALG', 'AF_CAN', 'AF_TIPC', 'AF_QIPCRTR',
             'AF_INET'):
    family = getattr(socket, name, None)
    if family is not None:
        tried(name, lambda: socket.socket(family, socket.SOCK_RAW))
        tried(name, lambda: socket.socket(family, socket.SOCK_SEQPACKET))
""",
        ),
    ),
    Attempt(
        name="names looked up",
        cells=(
            """
import socket
for name in ('localhost', C['token'] + '.example.org', 'example.org'):
    tried(name, lambda: socket.getaddrinfo(name, 80))
    tried(name, lambda: socket.gethostbyname(name))
tried('reverse', lambda: socket.gethostbyaddr('127.0.0.1'))
""",
        ),
    ),
    Attempt(
        name="through libraries",
        is_control=True,
        cells=(
            """
import asyncio, ftplib, http.client, smtplib, socket, socketserver, ssl, urllib.request, xmlrpc.client
port = C['tcp']
tried('create_connection', lambda: socket.create_connection(('127.0.0.1', port), 1))
tried('urllib', lambda: urllib.request.urlopen(f'http://127.0.0.1:{port}/', timeout=0.2))
tried('file url', lambda: urllib.request.urlopen('file://' + C['secret_path']).read())
tried('http', lambda: http.client.HTTPConnection('127.0.0.1', port, timeout=0.2).connect())
tried('ftp', lambda: ftplib.FTP().connect('127.0.0.1', port, timeout=0.2))
tried('smtp', lambda: smtplib.SMTP('127.0.0.1', port, timeout=0.2))
tried('server', lambda: socketserver.TCPServer(('127.0.0.1', 0), None))
tried('asyncio', lambda: asyncio.run(asyncio.open_connection('127.0.0.1', port)))
tried('logging', lambda: __import__('logging.handlers').handlers.SocketHandler('127.0.0.1', port).makeSocket())
""",
        ),
    ),
    Attempt(
        name="pairs of sockets and pipes",
        cells=(
            """
import os, socket
tried('socketpair', lambda: socket.socketpair())
tried('pipe', lambda: os.pipe())
tried('pipe2', lambda: os.pipe2(0))
tried('eventfd', lambda: call('eventfd2', 0, 0))
tried('epoll', lambda: call('epoll_create1', 0))
""",
        ),
    ),
    Attempt(
        name="the inherited socket turned elsewhere",
        expected=Expected.REFUSED,
        cells=(
            """
import ctypes, socket
number = next(wires())
end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=number)
tried('connect', lambda: end.connect(C['unix']))
tried('connect abstract', lambda: end.connect(chr(0) + C['token']))
tried('listen', lambda: end.listen())
tried('bind', lambda: end.bind(chr(0) + C['token'] + 'b'))
tried('accept', lambda: end.accept())
tried('option', lambda: end.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1))
tried('sendto', lambda: end.sendto(b'', C['unix']))
tried('shutdown', lambda: end.shutdown(2))
end.detach()
""",
        ),
    ),
)
