//! The desk's rules, one by one: what is answered when, who is asked again, who is blamed, and what harm does none.

use std::sync::{Arc, Mutex};

use super::{
    super::{peers::QUEUE, picker::looks},
    *,
};

/// Blocks of a piece, pieces of the torrent.
const BLOCKS: u32 = 4;
const PIECES: u32 = 16;

/// A desk, a clock, and what was ordered since the last look.
struct Table {
    desk: Desk,
    now: Instant,
    verified: Arc<Mutex<HashSet<u32>>>,
    hosts: u8,
}

impl Table {
    fn new() -> Self {
        Self::of(PIECES)
    }

    fn of(pieces: u32) -> Self {
        let verified = Arc::new(Mutex::new(HashSet::new()));
        let have = verified.clone();
        let piece_len = BLOCKS * BLOCK;
        let geometry = Geometry { piece_len, total_len: u64::from(piece_len) * u64::from(pieces) };
        let desk = Desk::new(geometry, Box::new(move |piece| have.lock().unwrap().contains(&piece)));
        Table { desk, now: Instant::now(), verified, hosts: 0 }
    }

    /// A new link to a peer that has everything and chokes us.
    fn choking_seed(&mut self) -> PeerKey {
        self.hosts += 1;
        let key = self.desk.join(SocketAddr::from(([127, 0, 0, self.hosts], 1)), self.now);
        let bits = vec![0xff; self.desk.geometry.pieces().div_ceil(8) as usize];
        self.desk.has_all_of(key, &bits, self.now);
        key
    }

    /// A new link to a peer that has everything and lets us ask.
    fn seed(&mut self) -> PeerKey {
        let key = self.choking_seed();
        self.desk.unchoked(key, self.now);
        key
    }

    /// A reader waits for the torrent's first byte and wants all.
    fn reader(&mut self) {
        let end = u64::from(self.desk.geometry.pieces() * BLOCKS * BLOCK);
        self.desk.set_heads(vec![Head { needs: 0, end, runway: 0, pace: None }], self.now);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.desk.tick(self.now);
    }

    fn orders(&mut self, of: PeerKey) -> Vec<Order> {
        let own = |action| match action {
            Action::Link(key, order) if key == of => Some(order),
            _ => None,
        };
        self.desk.take_actions().into_iter().filter_map(own).collect()
    }

    /// What this peer is asked for now, of all that was ordered.
    fn asked(&mut self, of: PeerKey) -> Vec<Block> {
        let ask = |order| match order {
            Order::Ask(block) => Some(block),
            _ => None,
        };
        self.orders(of).into_iter().filter_map(ask).collect()
    }

    fn open_asks(&self, of: PeerKey) -> Vec<Block> {
        self.desk.peers[&of].asks.iter().map(|asked| asked.block).collect()
    }

    fn want(&mut self, key: PeerKey, block: Block) {
        self.desk.wanted(key, block, self.now);
    }

    /// A block comes; whether librqbit has it at once.
    fn deliver(&mut self, from: PeerKey, block: Block) -> bool {
        assert_eq!(self.desk.arrived(from, block, self.now), Arrival::Take, "{block:?}");
        self.desk.stored(from, block, self.now)
    }

    fn verify(&mut self, piece: u32) {
        self.verified.lock().unwrap().insert(piece);
    }

    /// A piece of which `one` brought the first block and `other` the rest is full, and is bad.
    fn bad_piece_of(&mut self, one: PeerKey, other: PeerKey) {
        self.want(one, block(0, 0));
        self.deliver(one, block(0, 0));
        self.want(other, block(0, 1));
        for index in 1..BLOCKS {
            if !self.open_asks(other).contains(&block(0, index)) {
                self.desk.choked(one, self.now);
                self.pass(Duration::from_millis(50));
            }
            self.deliver(other, block(0, index));
        }
        self.desk.unchoked(one, self.now);
        assert!(self.desk.take_actions().contains(&HASH_0));
        self.desk.hashed(0, false, &vec![66, 1, 2, 3], self.now);
    }
}

/// The order to hash piece 0, of which no bad copy is known.
const HASH_0: Action = Action::Hash { piece: 0, digests: false };

fn block(piece: u32, index: u32) -> Block {
    Block { piece, index }
}

#[test]
fn librqbit_gets_a_block_as_it_comes_while_one_peer_alone_brings_the_piece() {
    let mut table = Table::new();
    let key = table.seed();
    for index in 0..BLOCKS {
        table.want(key, block(3, index));
        assert_eq!(table.asked(key), [block(3, index)]);
        assert!(table.deliver(key, block(3, index)));
    }
    assert_eq!(table.desk.take_actions(), [], "the hash is librqbit's");
    table.pass(LIBRQBITS_TURN * 2);
    let hash = Action::Hash { piece: 3, digests: false };
    assert_eq!(table.desk.take_actions(), [hash], "unless it does not look at it");
}

#[test]
fn librqbit_gets_nothing_of_a_piece_that_two_peers_bring_before_its_hash_is_known() {
    let mut table = Table::new();
    let (one, other) = (table.seed(), table.seed());
    table.want(one, block(0, 0));
    table.want(other, block(0, 1));
    assert_eq!(table.asked(one), [block(0, 0)]);
    // The second request is held and its block adopted: whoever has room brings it.
    table.pass(Duration::from_millis(50));
    for index in 0..BLOCKS {
        let from = if table.open_asks(one).contains(&block(0, index)) { one } else { other };
        let at_once = table.deliver(from, block(0, index));
        assert!(!at_once || table.desk.partials[&0].sole() == Some(from), "block {index}");
    }
    let before = table.desk.take_actions();
    assert!(before.contains(&HASH_0), "{before:?}");
    assert!(!before.iter().any(|action| matches!(action, Action::Link(_, Order::Answer(_)))));
    table.verify(0);
    table.desk.hashed(0, true, &vec![], table.now);
    assert!(table.orders(other).contains(&Order::Answer(block(0, 1))));
}

#[test]
fn librqbit_is_answered_from_disk_what_is_verified_and_what_the_same_peer_brought() {
    let mut table = Table::new();
    table.reader();
    let key = table.seed();
    let first = table.asked(key)[0];
    assert!(!table.deliver(key, first), "nobody asked for it but a reader");
    table.desk.take_actions();
    table.want(key, first);
    assert_eq!(table.orders(key), [Order::Answer(first)]);
    table.verify(9);
    table.want(key, block(9, 3));
    assert_eq!(table.orders(key), [Order::Answer(block(9, 3))]);
}

#[test]
fn what_librqbit_asks_on_a_second_link_is_not_fetched_twice() {
    let mut table = Table::new();
    let (one, other) = (table.seed(), table.seed());
    table.want(one, block(0, 0));
    table.want(other, block(0, 0));
    let asked = table.desk.take_actions();
    let asks =
        asked.iter().filter(|action| matches!(action, Action::Link(_, Order::Ask(b)) if *b == block(0, 0)));
    assert_eq!(asks.count(), 1, "{asked:?}");
}

#[test]
fn librqbit_is_not_given_what_it_took_back() {
    let mut table = Table::new();
    let (one, other) = (table.seed(), table.seed());
    table.want(one, block(0, 0));
    table.desk.unwanted(one, block(0, 0));
    assert!(!table.deliver(one, block(0, 0)), "but it is kept: somebody will want it");
    assert!(table.desk.is_here(block(0, 0)));
    table.want(other, block(0, 0));
    table.desk.unwanted(other, block(0, 0));
    table.desk.take_actions();
    table.verify(0);
    table.desk.completed(0, table.now);
    assert!(!table.orders(other).contains(&Order::Answer(block(0, 0))));
}

#[test]
fn a_choke_takes_back_what_was_asked_and_another_peer_is_asked_at_once() {
    let mut table = Table::new();
    table.reader();
    let one = table.seed();
    let asked = table.asked(one);
    assert!(!asked.is_empty());
    let other = table.seed();
    table.desk.take_actions();
    table.desk.choked(one, table.now);
    assert_eq!(table.open_asks(one), []);
    for _ in 0..2 * BLOCKS {
        let next = table.open_asks(other)[0];
        table.deliver(other, next);
    }
    assert!(asked.iter().all(|block| table.desk.is_here(*block)), "{asked:?}");
    assert_eq!(table.asked(one), [], "a peer that chokes is asked for nothing");
}

#[test]
fn what_librqbit_wants_of_a_peer_that_chokes_is_fetched_elsewhere_after_a_second() {
    let mut table = Table::new();
    let (one, other) = (table.seed(), table.seed());
    table.want(one, block(5, 2));
    table.desk.choked(one, table.now);
    assert_eq!(table.asked(other), []);
    table.pass(CHOKED + Duration::from_millis(50));
    assert!(table.asked(other).contains(&block(5, 2)));
}

#[test]
fn what_a_peer_that_left_was_asked_is_asked_of_another() {
    let mut table = Table::new();
    table.reader();
    let one = table.seed();
    let asked = table.asked(one);
    let other = table.seed();
    table.desk.leave(one, table.now);
    for _ in 0..2 * BLOCKS {
        let next = table.open_asks(other)[0];
        table.deliver(other, next);
    }
    assert!(asked.iter().all(|block| table.desk.is_here(*block)), "{asked:?}");
}

/// A reader waits, a peer does not answer, and a second one is asked for the same; the block that both are asked for.
fn late_and_repeated(table: &mut Table) -> (PeerKey, PeerKey, Option<Block>) {
    table.reader();
    let late = table.seed();
    let owed = table.asked(late);
    table.now += Duration::from_secs(3);
    let other = table.choking_seed();
    let few = vec![0x80; table.desk.geometry.pieces().div_ceil(8) as usize];
    table.desk.has_all_of(other, &few, table.now);
    table.desk.unchoked(other, table.now);
    let asked = table.asked(other);
    (late, other, asked.into_iter().find(|block| owed.contains(block)))
}

#[test]
fn whoever_brings_a_repeated_block_later_is_told_not_to() {
    let mut table = Table::new();
    let (late, other, twice) = late_and_repeated(&mut table);
    let twice = twice.expect("a late block is asked of another");
    table.deliver(other, twice);
    assert!(table.orders(late).contains(&Order::Cancel(twice)));
    assert!(!table.open_asks(late).contains(&twice));
    let wasted = table.desk.tally().wasted;
    assert_eq!(table.desk.arrived(late, twice, table.now), Arrival::Drop, "it was on its way already");
    assert_eq!(table.desk.tally().wasted, wasted + u64::from(BLOCK));
    assert_eq!(table.desk.repeated, u64::from(BLOCK));
}

#[test]
fn a_peer_that_sends_what_nobody_asked_for_does_not_keep_late_blocks_from_being_repeated() {
    let mut table = Table::new();
    let spammer = table.choking_seed();
    for number in 0..1000 {
        assert_eq!(table.desk.arrived(spammer, block(number % PIECES, 0), table.now), Arrival::Drop);
    }
    assert_eq!(table.desk.tally().wasted, 1000 * u64::from(BLOCK));
    assert!(late_and_repeated(&mut table).2.is_some());
}

#[test]
fn why_a_peer_brings_nothing_is_told_of_each() {
    let mut table = Table::new();
    let (choking, silent) = (table.choking_seed(), table.seed());
    let poor = table.desk.join(SocketAddr::from(([127, 0, 0, 9], 1)), table.now);
    table.desk.has(poor, PIECES - 1, table.now);
    let reasons =
        |table: &Table| table.desk.peers(table.now).into_iter().map(|peer| (peer.state, peer.reason));
    assert!(reasons(&table).all(|(_, reason)| reason != Some(Reason::LacksPiece)), "nobody waits");
    table.reader();
    let time = Duration::from_secs(3);
    table.pass(time);
    let told: Vec<_> = reasons(&table).collect();
    assert_eq!(
        told,
        [
            (PeerState::Choked, Some(Reason::Choking(time))),
            (PeerState::Silent, Some(Reason::Silent(time))),
            (PeerState::Choked, Some(Reason::LacksPiece)),
        ]
    );
    table.desk.severed(silent, table.now);
    table.desk.leave(choking, table.now);
    let told: Vec<_> = reasons(&table).map(|(state, _)| state).collect();
    assert_eq!(told, [PeerState::Connecting, PeerState::Choked]);
}

#[test]
fn who_alone_sent_a_bad_piece_is_dropped_at_once() {
    let mut table = Table::new();
    let (liar, honest) = (table.seed(), table.seed());
    for index in 0..BLOCKS {
        table.want(liar, block(0, index));
        table.deliver(liar, block(0, index));
    }
    table.pass(LIBRQBITS_TURN * 2);
    table.desk.take_actions();
    table.desk.hashed(0, false, &vec![6; BLOCKS as usize], table.now);
    assert!(table.orders(liar).contains(&Order::Leave("it sent bad blocks")));
    let reports = table.desk.peers(table.now);
    assert_eq!(reports.len(), 2);
    assert_eq!((reports[1].state, reports[1].received), (PeerState::Banned, u64::from(BLOCKS * BLOCK)));
    assert_eq!(table.desk.partials[&0].parole(), Some(honest), "the other one brings the next copy");
    assert!(table.desk.is_banned(SocketAddr::from(([127, 0, 0, 1], 1))));
    assert!(!table.desk.is_banned(reports[0].address));
}

#[test]
fn a_visitor_that_lies_is_banned_with_its_host_out_there_and_alone_in_here() {
    for (host, whole_host) in [([192, 0, 2, 7], true), ([127, 0, 0, 77], false)] {
        let mut table = Table::new();
        let liar = table.desk.join(SocketAddr::from((host, 50_000)), table.now);
        table.desk.came_in(liar);
        table.desk.listens_at(liar, 6881);
        table.desk.has_all_of(liar, &[0xff; 2], table.now);
        table.desk.unchoked(liar, table.now);
        for index in 0..BLOCKS {
            table.want(liar, block(0, index));
            table.deliver(liar, block(0, index));
        }
        table.pass(LIBRQBITS_TURN * 2);
        table.desk.hashed(0, false, &vec![6; BLOCKS as usize], table.now);
        assert!(table.orders(liar).contains(&Order::Leave("it sent bad blocks")));
        let reports = table.desk.peers(table.now);
        assert!(reports.iter().any(|report| report.incoming && report.received > 0), "{reports:?}");
        let port = |port| SocketAddr::from((host, port));
        assert!(table.desk.turns_away(port(50_000)));
        assert!(table.desk.is_banned(port(6881)), "it is not dialled either");
        assert_eq!(
            (table.desk.turns_away(port(50_001)), table.desk.is_banned(port(2))),
            (whole_host, whole_host)
        );
        assert_eq!(table.desk.bringers(), []);
    }
}

#[test]
fn a_liar_on_whom_librqbit_hangs_up_first_is_banned_all_the_same() {
    let mut table = Table::new();
    let liar = table.seed();
    for index in 0..BLOCKS {
        table.want(liar, block(0, index));
        table.deliver(liar, block(0, index));
    }
    table.desk.leave(liar, table.now);
    assert!(table.desk.take_actions().contains(&Action::Hash { piece: 0, digests: false }));
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    let again = table.desk.join(address, table.now);
    table.desk.hashed(0, false, &vec![6; BLOCKS as usize], table.now);
    assert!(table.desk.is_banned(address));
    assert!(table.orders(again).contains(&Order::Leave("it sent bad blocks")), "and its next link ends");
}

#[test]
fn of_several_senders_of_a_bad_piece_the_liar_is_found_by_a_copy_of_one_peer() {
    let mut table = Table::new();
    let (liar, honest) = (table.seed(), table.seed());
    table.bad_piece_of(liar, honest);
    assert_eq!(table.desk.peers(table.now).len(), 2, "it is not known yet who lied");
    // Whoever is on parole first, the liar's second copy is as bad, and then it is the honest one's turn.
    for _ in 0..2 {
        let Some(alone) = table.desk.partials.get(&0).and_then(Partial::parole) else { break };
        table.pass(Duration::from_millis(50));
        for index in 0..BLOCKS {
            let on_parole = |key| table.open_asks(key).iter().all(|asked| asked.piece != 0);
            assert!(on_parole(if alone == liar { honest } else { liar }), "one alone brings it");
            assert!(!table.deliver(alone, block(0, index)), "librqbit waits for the hash");
        }
        let right = alone == honest;
        if right {
            table.verify(0);
        }
        table.desk.hashed(0, right, &vec![if right { 0 } else { 66 }, 1, 2, 3], table.now);
    }
    assert!(table.desk.is_banned(SocketAddr::from(([127, 0, 0, 1], 1))));
    assert!(!table.desk.is_banned(SocketAddr::from(([127, 0, 0, 2], 1))));
}

#[test]
fn a_copy_that_is_being_hashed_stays_as_it_is_when_whoever_brought_it_chokes_or_leaves() {
    for leaves in [false, true] {
        let mut table = Table::new();
        let (liar, honest, _next) = (table.seed(), table.seed(), table.seed());
        table.bad_piece_of(liar, honest);
        table.reader();
        let alone = table.desk.partials[&0].parole().unwrap();
        for index in 0..BLOCKS {
            table.deliver(alone, block(0, index));
        }
        match leaves {
            true => table.desk.leave(alone, table.now),
            false => table.desk.choked(alone, table.now),
        }
        table.desk.take_actions();
        table.pass(Duration::from_millis(50));
        let is_asked_for = |table: &Table| {
            table.desk.peers.keys().any(|key| table.open_asks(*key).iter().any(|asked| asked.piece == 0))
        };
        let copy = &table.desk.partials[&0];
        assert!(copy.is_full() && copy.hashing && !is_asked_for(&table), "it is all there");
        table.verify(0);
        table.desk.hashed(0, true, &vec![0, 1, 2, 3], table.now);
        table.pass(Duration::from_millis(50));
        assert!(!is_asked_for(&table), "it is verified");
        assert!(!table.desk.partials.contains_key(&0) && !table.desk.adopted.contains(&0));
    }
}

#[test]
fn nothing_is_written_over_a_verified_piece() {
    let mut table = Table::new();
    let key = table.seed();
    table.want(key, block(3, 0));
    table.verify(3);
    assert_eq!(table.desk.arrived(key, block(3, 0), table.now), Arrival::Drop);
}

#[test]
fn whoever_brings_evidence_far_too_slowly_makes_way_and_gets_more_time_the_next_time() {
    let mut table = Table::new();
    let (liar, honest) = (table.seed(), table.seed());
    // 64 KiB in 100 ms, again and again.
    for piece in 4..12 {
        for index in 0..BLOCKS {
            table.want(honest, block(piece, index));
        }
        table.now += Duration::from_millis(100);
        for index in 0..BLOCKS {
            table.deliver(honest, block(piece, index));
        }
        table.verify(piece);
        table.desk.completed(piece, table.now);
    }
    let drips = table.seed();
    table.bad_piece_of(liar, honest);
    table.desk.leave(liar, table.now);
    let mut held = Vec::new();
    for _ in 0..2 {
        // Nobody else lets us ask for a moment.
        table.desk.choked(honest, table.now);
        table.pass(Duration::from_millis(50));
        table.desk.unchoked(honest, table.now);
        assert_eq!(table.desk.partials[&0].parole(), Some(drips));
        let began = table.now;
        while table.desk.partials[&0].parole() == Some(drips) {
            assert!(table.now - began < Duration::from_secs(60));
            let next = table.open_asks(drips).into_iter().find(|asked| asked.piece == 0);
            // Never silent for so long that it would be given up for that.
            if let Some(next) = next.filter(|next| next.index + 1 < BLOCKS) {
                table.deliver(drips, next);
            }
            for _ in 0..28 {
                table.pass(Duration::from_millis(100));
                if table.desk.partials[&0].parole() != Some(drips) {
                    break;
                }
            }
        }
        assert_eq!(table.desk.partials[&0].parole(), Some(honest));
        held.push(table.now - began);
    }
    assert!(held[0] > SETTLING_IN && held[0] < SETTLING_IN * 3 / 2, "{held:?}");
    assert!(held[1] > held[0] * 3 / 2, "{held:?}");
}

#[test]
fn a_block_that_came_and_was_not_written_before_its_link_ended_is_asked_of_another() {
    let mut table = Table::new();
    table.reader();
    let (one, other) = (table.seed(), table.choking_seed());
    let first = table.asked(one)[0];
    assert_eq!(table.desk.arrived(one, first, table.now), Arrival::Take);
    table.desk.leave(one, table.now);
    table.desk.unchoked(other, table.now);
    assert!(table.open_asks(other).contains(&first), "{}", table.desk.describe(first.piece));
}

#[test]
fn interest_is_shown_once_and_only_where_a_peer_has_what_is_needed() {
    let mut table = Table::new();
    let useless = table.desk.join(SocketAddr::from(([127, 0, 0, 9], 1)), table.now);
    let useful = table.choking_seed();
    assert_eq!(table.desk.take_actions(), [], "nothing is needed yet");
    table.reader();
    assert_eq!(table.desk.take_actions(), [Action::Link(useful, Order::Interest)]);
    table.pass(Duration::from_secs(1));
    assert!(!table.desk.librqbit_is_interested(useful, true), "it was said already");
    assert!(table.desk.librqbit_is_interested(useless, true), "librqbit's own mind, the first time");
    assert!(!table.desk.librqbit_is_interested(useless, true));
    assert_eq!(table.desk.take_actions(), []);
}

#[test]
fn librqbit_may_not_lose_interest_while_something_is_needed() {
    let mut table = Table::new();
    let key = table.choking_seed();
    table.reader();
    assert!(!table.desk.librqbit_is_interested(key, false));
    table.desk.set_heads(vec![], table.now);
    assert!(table.desk.librqbit_is_interested(key, false));
    table.desk.take_actions();
    table.reader();
    assert_eq!(table.desk.take_actions(), [Action::Link(key, Order::Interest)], "and now it is said again");
}

#[test]
fn a_silent_peer_is_asked_for_one_block_at_a_time_and_left_in_the_end() {
    let mut table = Table::new();
    table.reader();
    let silent = table.seed();
    let owed = table.open_asks(silent);
    table.pass(SILENCE + Duration::from_millis(50));
    assert!(table.desk.peers[&silent].silenced);
    assert_eq!(table.desk.arrived(silent, block(PIECES - 1, 0), table.now), Arrival::Drop);
    assert!(table.desk.peers[&silent].silenced, "what nobody asked for is no sign of good will");
    assert_eq!(table.desk.arrived(silent, owed[0], table.now), Arrival::Take);
    assert!(!table.desk.peers[&silent].silenced);
    table.pass(ABANDON * 2);
    table.pass(ABANDON * 2);
    assert!(table.desk.peers.contains_key(&silent), "a reader waits, and there is nobody else");
    table.desk.set_heads(Vec::new(), table.now);
    table.pass(Duration::from_millis(50));
    assert!(!table.desk.peers.contains_key(&silent));
}

#[test]
fn a_reader_is_deserted_once_nobody_is_left_who_might_bring_what_it_waits_for() {
    let mut table = Table::new();
    assert!(!table.desk.is_deserted(table.now), "nobody waits");
    table.reader();
    assert!(table.desk.is_deserted(table.now), "nobody is there");
    let one = table.seed();
    assert!(!table.desk.is_deserted(table.now));
    table.desk.choked(one, table.now);
    table.pass(CHOKED_OUT - Duration::from_secs(1));
    assert!(!table.desk.is_deserted(table.now), "most chokes end");
    table.pass(Duration::from_secs(1));
    assert!(table.desk.is_deserted(table.now), "this one does not seem to");
    table.desk.unchoked(one, table.now);
    assert!(!table.desk.is_deserted(table.now));
    table.pass(SILENCE + Duration::from_millis(50));
    assert!(table.desk.is_deserted(table.now), "it is silent");
    let other = table.seed();
    assert!(!table.desk.is_deserted(table.now));
    table.desk.severed(other, table.now);
    assert!(table.desk.is_deserted(table.now), "it left, and may come back");
}

#[test]
fn one_whose_connection_breaks_is_asked_for_nothing_until_it_is_back_and_says_what_it_has() {
    let mut table = Table::new();
    table.reader();
    let (one, now) = (table.seed(), table.now);
    table.desk.librqbit_is_interested(one, true);
    let asked = table.asked(one);
    table.deliver(one, asked[0]);
    assert!(table.desk.is_worth_waiting_for(one, now) && !table.desk.is_missed(one, now));
    let other = table.seed();
    table.desk.severed(one, now);
    assert_eq!(table.open_asks(one), []);
    let waits_for_one = table.desk.partials.values().flat_map(Partial::asks).any(|ask| ask.of == one);
    assert!(!waits_for_one && !table.open_asks(other).is_empty(), "somebody else is asked");
    assert!(!table.desk.is_worth_waiting_for(one, now), "and brings it");
    table.orders(one);
    table.desk.renewed(one);
    assert_eq!(table.orders(one), [Order::Interest]);
    // librqbit still believes that it has all it had.
    table.want(one, block(PIECES - 1, 0));
    assert!(!table.desk.unchoked(one, now), "librqbit heard that once");
    table.pass(Duration::from_millis(200));
    assert_eq!(table.asked(one), [], "it did not say that it has anything");
    table.desk.has(one, PIECES - 1, table.now);
    assert!(table.asked(one).contains(&block(PIECES - 1, 0)));
}

#[test]
fn a_bit_field_of_another_length_ends_the_link_and_changes_nothing() {
    for len in [0, 1, 3, 60_000] {
        let mut table = Table::new();
        table.reader();
        let key = table.choking_seed();
        table.desk.unchoked(key, table.now);
        let asked = table.asked(key);
        table.desk.has_all_of(key, &vec![0xff; len], table.now);
        let left = Order::Leave("its bit field has the wrong length");
        assert_eq!(table.orders(key), [left], "{len} bytes");
        assert_eq!(table.desk.peers(table.now), []);
        // What it says until the link is gone is said to nobody.
        assert!(!table.desk.has(key, 1, table.now));
        assert_eq!(table.desk.arrived(key, asked[0], table.now), Arrival::Drop);
        let other = table.seed();
        assert!(!table.asked(other).is_empty(), "what it was asked is asked of the next one");
    }
}

#[test]
fn pieces_that_do_not_exist_are_had_by_nobody() {
    let mut table = Table::new();
    let key = table.desk.join(SocketAddr::from(([127, 0, 0, 1], 1)), table.now);
    for piece in [PIECES, PIECES + 7, u32::MAX] {
        assert!(!table.desk.has(key, piece, table.now));
    }
    assert!(table.desk.has(key, 3, table.now));
    assert!(!table.desk.has(key, 3, table.now), "that is no news");
    table.desk.unchoked(key, table.now);
    table.reader();
    assert_eq!(table.asked(key), [0, 1, 2, 3].map(|index| block(3, index)));
}

#[test]
fn blocks_that_nobody_asked_for_are_not_written() {
    let mut table = Table::new();
    table.reader();
    let (one, other) = (table.seed(), table.seed());
    let asked = table.open_asks(one)[0];
    assert_eq!(table.desk.arrived(other, block(PIECES - 1, 0), table.now), Arrival::Drop);
    table.deliver(one, asked);
    assert_eq!(table.desk.arrived(one, asked, table.now), Arrival::Drop, "nor a second time");
    assert_eq!(table.desk.arrived(PeerKey(77), asked, table.now), Arrival::Drop, "nor of a stranger");
}

#[test]
fn however_little_or_much_a_peer_says_that_it_queues_it_is_asked_for_some() {
    for queue in [0, 1, usize::MAX] {
        let mut table = Table::new();
        let key = table.choking_seed();
        table.desk.queues(key, queue);
        assert!((1..=2 * QUEUE).contains(&table.desk.peers[&key].queue));
        table.desk.unchoked(key, table.now);
        table.reader();
        for _ in 0..PIECES / 2 * BLOCKS {
            table.now += Duration::from_millis(1);
            let next = table.open_asks(key)[0];
            table.deliver(key, next);
            assert!(table.open_asks(key).len() <= 2 * QUEUE);
        }
    }
}

#[test]
fn a_flood_of_small_messages_costs_less_than_a_look_each() {
    const FLOOD: u64 = 10_000;
    let mut table = Table::of(2000);
    let mut keys: Vec<PeerKey> = (0..50).map(|_| table.seed()).collect();
    let flooder = keys.pop().unwrap();
    table.reader();
    table.desk.take_actions();
    looks::reset();
    for message in 0..FLOOD {
        match message % 4 {
            0 => table.desk.choked(flooder, table.now),
            1 => drop(table.desk.unchoked(flooder, table.now)),
            2 => drop(table.desk.has(flooder, 7, table.now)),
            _ => drop(table.desk.has(flooder, u32::MAX, table.now)),
        }
    }
    // The first of them is heeded at once: everybody with room looks at the plan.
    assert!(looks::count() < FLOOD, "{} looks", looks::count());
    let orders = table.desk.take_actions().len();
    assert!(orders < 500, "{orders} orders");
    table.pass(Duration::from_millis(50));
    assert!(!table.open_asks(flooder).is_empty(), "it is asked again at the next look at the clock");
}

#[test]
fn what_is_read_ahead_follows_the_rate_at_which_the_reader_takes() {
    let ahead = |pace: Option<f64>| {
        let mut table = Table::of(2000);
        (0..16).for_each(|_| _ = table.seed());
        let runway = u64::from(BLOCKS * BLOCK);
        let end = 2000 * runway;
        table.desk.set_heads(vec![Head { needs: runway, end, runway, pace }], table.now);
        table.desk.urgent().count()
    };
    let piece = f64::from(BLOCKS * BLOCK);
    assert_eq!(ahead(Some(piece / 2.0)), 5, "ten seconds' worth");
    assert_eq!(ahead(Some(piece * 2.0)), 20);
    let whatever_comes = ahead(None);
    assert!(whatever_comes > 100, "{whatever_comes}");
    assert_eq!(ahead(Some(piece * 1e6)), whatever_comes, "no more than the swarm gives");
}

#[test]
fn an_index_is_asked_for_behind_what_a_reader_waits_for_and_before_what_is_read_ahead() {
    let mut table = Table::new();
    table.reader();
    let piece = u64::from(BLOCKS * BLOCK);
    let index = 9 * piece + 5..10 * piece + 1;
    table.desk.set_indexes(vec![index], table.now);
    let order: Vec<u32> = table.desk.urgent().collect();
    assert_eq!(order[..3], [0, 9, 10]);
    (0..3).for_each(|_| _ = table.seed());
    let order: Vec<u32> = table.desk.urgent().take(3).collect();
    assert_eq!(order, [0, 9, 10]);
    table.desk.set_indexes(Vec::new(), table.now);
    assert!(!table.desk.urgent().take(3).any(|piece| piece == 9), "nobody plays it any more");
}
