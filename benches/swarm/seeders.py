"""Seeders for the benchmark: several libtorrent sessions in one process, each at an address of its own.

The first line of stdin is the order, as JSON; the answer is a line with their ports. Then each line is a command:
"go" starts the clock of the chokes, "sent" is answered with the payload bytes that each has sent. The end of stdin
is the end of the process.
"""

import json
import select
import sys
import time

import libtorrent as lt

SETTINGS = {
    "user_agent": "libtorrent/" + lt.version,
    "alert_mask": 0,
    # At once: otherwise a slot is given out a second after it is asked for.
    "unchoke_slots_limit": -1,
    # The limiter hands out its quota at each tick, and idles until there is something in the send buffer; with the
    # defaults (500 ms, 10 kB) the first second of a transfer is nearly empty and the second one a burst.
    "tick_interval": 20,
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_outgoing_utp": False,
    "enable_incoming_utp": False,
    # The rates of the scenarios are of payload.
    "rate_limit_ip_overhead": False,
    # Clients that seed allow an address one connection.
    "allow_multiple_connections_per_ip": False,
}


class Seed:
    """One session with one torrent."""

    def __init__(self, order, seed):
        settings = dict(SETTINGS, listen_interfaces=seed["ip"] + ":0")
        if seed["rate"]:
            settings["upload_rate_limit"] = seed["rate"]
            settings["send_buffer_low_watermark"] = max(seed["rate"] // 8, 16384)
        if seed["chokes"]:
            # In seconds; else a choke would wait for up to 15.
            settings["unchoke_interval"] = 1
        if seed["lies"]:
            settings["disable_hash_checks"] = True
        self.session = lt.session(settings)
        self.limit_loopback_too()
        self.chokes, self.choked = seed["chokes"], False
        torrent = lt.add_torrent_params()
        torrent.ti = lt.torrent_info(order["torrent"])
        torrent.save_path = seed["folder"]
        # Complete, unchecked, and never announced anywhere; one that exchanges no peers either.
        torrent.flags = lt.torrent_flags.seed_mode | lt.torrent_flags.disable_pex
        self.handle = self.session.add_torrent(torrent)

    def limit_loopback_too(self):
        """Without this, libtorrent lets local peers through at full speed."""
        everyone = lt.ip_filter()
        everyone.add_rule("0.0.0.0", "255.255.255.255", 1 << lt.session.global_peer_class_id)
        self.session.set_peer_class_filter(everyone)

    def port(self):
        """Where it listens, once it does."""
        while not self.session.listen_port():
            time.sleep(0.01)
        return self.session.listen_port()

    def choke_as_due(self, now):
        """Takes the unchoke slots away, and gives them back."""
        choked = any(start <= now < end for start, end in self.chokes)
        if choked != self.choked:
            self.choked = choked
            self.session.apply_settings({"unchoke_slots_limit": 0 if choked else -1})

    def sent(self):
        """Payload bytes so far."""
        return self.handle.status().total_payload_upload


def answer(value):
    """One line to the benchmark."""
    print(json.dumps(value), flush=True)


def main():
    """Seeds until stdin ends."""
    order = json.loads(sys.stdin.readline())
    seeds = [Seed(order, seed) for seed in order["seeds"]]
    for seed in seeds:
        seed.choke_as_due(0)
    answer([seed.port() for seed in seeds])
    choking = [seed for seed in seeds if seed.chokes]
    started = None
    while True:
        ticking = started is not None and choking
        if select.select([sys.stdin], [], [], 0.02 if ticking else None)[0]:
            command = sys.stdin.readline()
            if not command:
                return
            if command == "go\n":
                started = time.monotonic()
            answer([seed.sent() for seed in seeds])
        if ticking:
            for seed in choking:
                seed.choke_as_due(time.monotonic() - started)


main()
