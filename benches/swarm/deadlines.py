"""libtorrent as a streaming client: piece deadlines ahead of each reader, and the file over HTTP with ranges.

Arguments: a magnet, the directory for the data, the port to serve at.
"""

import select
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import libtorrent as lt

# How much ahead of a reader has a deadline, and by how much each piece's is later than the one before.
AHEAD_BYTES = 32 * 1024 * 1024
STEP_MS = 500

SETTINGS = {
    "listen_interfaces": "127.0.0.1:0",
    "alert_mask": lt.alert.category_t.status_notification | lt.alert.category_t.storage_notification,
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    # The peers speak TCP alone; trying uTP with each of them first would cost 4 s.
    "enable_outgoing_utp": False,
}


class Film:
    """The torrent's only file."""

    def __init__(self, magnet, folder):
        self.session = lt.session(SETTINGS)
        torrent = lt.parse_magnet_uri(magnet)
        torrent.save_path = folder
        # At once, and not when the queue of torrents is next looked at.
        torrent.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
        self.handle = self.session.add_torrent(torrent)
        self.changed = threading.Condition()
        self.info = None
        # What has been read, and at which piece each reader is.
        self.pieces, self.places = {}, {}
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        """Takes what libtorrent says."""
        while True:
            self.session.wait_for_alert(1000)
            with self.changed:
                for alert in self.session.pop_alerts():
                    if isinstance(alert, lt.metadata_received_alert):
                        self.info = self.handle.torrent_file()
                    elif isinstance(alert, lt.read_piece_alert) and not alert.error.value():
                        self.pieces[alert.piece] = alert.buffer
                self.changed.notify_all()

    def size(self):
        """Its length, once the metadata is there."""
        with self.changed:
            self.changed.wait_for(lambda: self.info)
        return self.info.total_size()

    def read(self, start, gone):
        """Its bytes from here on, by pieces, until the reader is gone."""
        length, reader = self.info.piece_length(), threading.get_ident()
        try:
            for piece in range(start // length, self.info.num_pieces()):
                with self.changed:
                    self.places[reader] = piece
                    self.forget()
                    self.set_deadlines(piece)
                    while not self.changed.wait_for(lambda: piece in self.pieces, 0.02):
                        if gone():
                            return
                    data = self.pieces[piece]
                yield data[max(0, start - piece * length) :]
        finally:
            with self.changed:
                self.places.pop(reader, None)
                self.forget()
                self.handle.clear_piece_deadlines()
                for piece in self.places.values():
                    self.set_deadlines(piece)

    def forget(self):
        """Lets go of the pieces at which nobody is."""
        here = set(self.places.values())
        self.pieces = {piece: data for piece, data in self.pieces.items() if piece in here}

    def set_deadlines(self, piece):
        """For this piece, to be told of it, and for those behind it. A second deadline replaces the first, so that
        the place of another reader keeps its own."""
        self.handle.set_piece_deadline(piece, 0, lt.deadline_flags_t.alert_when_available)
        ahead = max(1, AHEAD_BYTES // self.info.piece_length())
        for later in range(piece + 1, min(piece + ahead, self.info.num_pieces())):
            if later not in self.places.values() and not self.handle.have_piece(later):
                self.handle.set_piece_deadline(later, STEP_MS * (later - piece))


class Handler(BaseHTTPRequestHandler):
    """GET with `Range: bytes=N-`."""

    def do_GET(self):
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        size = self.server.film.size()
        self.send_response(206)
        self.send_header("Content-Length", str(size - start))
        self.end_headers()
        for data in self.server.film.read(start, self.gone):
            self.wfile.write(data)

    def gone(self):
        """Whether the client has closed."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    """One thread a reader."""

    daemon_threads = True

    def handle_error(self, *_):
        """Readers leave when they like."""


def main():
    """Serves until killed."""
    magnet, folder, port = sys.argv[1:]
    server = Server(("127.0.0.1", int(port)), Handler)
    server.film = Film(magnet, folder)
    server.serve_forever()


main()
