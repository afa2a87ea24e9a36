# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_swarmcat_global_optspecs
    string join \n config= temp-dir= state-dir= q/quiet v/verbose log-format= progress= trackers-file= no-trackers no-dht lsd no-upload listen-port= peer-limit= download-limit= upload-limit= proxy= bind-device= ipv4-only private min-free= max-disk= peer-timeout= timeout= stall-timeout= max-retries= peer= tracker= dht-bootstrap= h/help V/version
end

function __fish_swarmcat_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_swarmcat_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_swarmcat_using_subcommand
    set -l cmd (__fish_swarmcat_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c swarmcat -n "__fish_swarmcat_needs_command" -l config -d 'Read settings from this file' -r -F
complete -c swarmcat -n "__fish_swarmcat_needs_command" -l temp-dir -d 'Where torrents are kept while they are streamed [default: ./temp]' -r -F
complete -c swarmcat -n "__fish_swarmcat_needs_command" -l state-dir -d 'Where failures are remembered [default: the XDG state directory]' -r -F
complete -c swarmcat -n "__fish_swarmcat_needs_command" -l log-format -d 'Form of the log on stderr [default: text]' -r -f -a "text\t''
json\t''"
complete -c swarmcat -n "__fish_swarmcat_needs_command" -l progress -d 'Form of the progress on stderr [default: auto]' -r -f -a "auto\t''
bar\t''
plain\t''
json\t''
none\t''"
complete -c swarmcat -n "__fish_swarmcat_needs_command" -l trackers-file -d 'Trackers for the later rounds, one URL a line' -r -F
complete -c swarmcat -n "__fish_swarmcat_needs_command" -l listen-port -d 'TCP port for incoming peers [default: any free one]' -r
complete -c swarmcat -n "__fish_swarmcat_needs_command" -l peer-limit -d 'Connected peers at most [default: 128]' -r
complete -c swarmcat -n "__fish_swarmcat_needs_command" -l download-limit -d 'Bytes a second down, 16KiB or more [default: no limit]' -r
complete -c swarmcat -n "__fish_swarmcat_needs_command" -l upload-limit -d 'Bytes a second up, 16KiB or more [default: no limit]' -r
complete -c swarmcat -n "__fish_swarmcat_needs_command" -l proxy -d 'SOCKS5 proxy for peers and HTTP trackers; nothing goes around it' -r
complete -c swarmcat -n "__fish_swarmcat_needs_command" -l bind-device -d 'Network device to use, such as wg0' -r
complete -c swarmcat -n "__fish_swarmcat_needs_command" -l min-free -d 'Free disk to leave [default: 5 % of it, 256MiB to 4GiB]' -r
complete -c swarmcat -n "__fish_swarmcat_needs_command" -l max-disk -d 'Disk that all torrents together may take [default: no limit]' -r
complete -c swarmcat -n "__fish_swarmcat_needs_command" -l peer-timeout -d 'Give up when no peer was reached after [default: 60s]' -r
complete -c swarmcat -n "__fish_swarmcat_needs_command" -l timeout -d 'Give up when no byte came after [default: 2m]' -r
complete -c swarmcat -n "__fish_swarmcat_needs_command" -l stall-timeout -d 'Give up when the stream stands still for [default: 60s]' -r
complete -c swarmcat -n "__fish_swarmcat_needs_command" -l max-retries -d 'Rounds within the timeout, each with other trackers [default: 4]' -r
complete -c swarmcat -n "__fish_swarmcat_needs_command" -l peer -d 'Peer to dial whatever else is known (repeat for more)' -r
complete -c swarmcat -n "__fish_swarmcat_needs_command" -l tracker -d 'Tracker to ask beside the source\'s own (repeat for more)' -r
complete -c swarmcat -n "__fish_swarmcat_needs_command" -l dht-bootstrap -d 'DHT node to start from instead of the well-known ones (repeat for more)' -r
complete -c swarmcat -n "__fish_swarmcat_needs_command" -s q -l quiet -d 'Say nothing but errors'
complete -c swarmcat -n "__fish_swarmcat_needs_command" -s v -l verbose -d 'Log more: -v what is done, -vv how, -vvv everything'
complete -c swarmcat -n "__fish_swarmcat_needs_command" -l no-trackers -d 'Ask no tracker at all'
complete -c swarmcat -n "__fish_swarmcat_needs_command" -l no-dht -d 'Do not use the DHT'
complete -c swarmcat -n "__fish_swarmcat_needs_command" -l lsd -d 'Look for peers on the local network'
complete -c swarmcat -n "__fish_swarmcat_needs_command" -l no-upload -d 'Give nothing back to the swarm'
complete -c swarmcat -n "__fish_swarmcat_needs_command" -l ipv4-only -d 'Never use IPv6'
complete -c swarmcat -n "__fish_swarmcat_needs_command" -l private -d 'No DHT, LSD, PEX, upload, way in or client name'
complete -c swarmcat -n "__fish_swarmcat_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c swarmcat -n "__fish_swarmcat_needs_command" -s V -l version -d 'Print version'
complete -c swarmcat -n "__fish_swarmcat_needs_command" -f -a "stream" -d 'Stream one file of a torrent to stdout, a file or a player'
complete -c swarmcat -n "__fish_swarmcat_needs_command" -f -a "serve" -d 'Serve torrents over HTTP to players, TVs and scripts'
complete -c swarmcat -n "__fish_swarmcat_needs_command" -f -a "failed" -d 'Show or forget the torrents that failed recently'
complete -c swarmcat -n "__fish_swarmcat_needs_command" -f -a "cleanup" -d 'Remove what idle torrents left in the temp directory'
complete -c swarmcat -n "__fish_swarmcat_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -s o -l output -d 'Write to a file, by way of PATH.part; - is stdout' -r -F
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -s i -l index -d 'The file with this number, from 0, as -l prints it' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -s s -l select -d 'The file whose path matches, or that is this episode: S01E02' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -l range -d 'Only these bytes, as in HTTP: 0-499, 500-, -500' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -l open -d 'Start a player (mpv, vlc, ... or auto) on a local URL of the stream' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -l trackers-file -d 'Trackers for the later rounds, one URL a line' -r -F
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -l listen-port -d 'TCP port for incoming peers [default: any free one]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -l peer-limit -d 'Connected peers at most [default: 128]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -l download-limit -d 'Bytes a second down, 16KiB or more [default: no limit]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -l upload-limit -d 'Bytes a second up, 16KiB or more [default: no limit]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -l proxy -d 'SOCKS5 proxy for peers and HTTP trackers; nothing goes around it' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -l bind-device -d 'Network device to use, such as wg0' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -l min-free -d 'Free disk to leave [default: 5 % of it, 256MiB to 4GiB]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -l max-disk -d 'Disk that all torrents together may take [default: no limit]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -l peer-timeout -d 'Give up when no peer was reached after [default: 60s]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -l timeout -d 'Give up when no byte came after [default: 2m]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -l stall-timeout -d 'Give up when the stream stands still for [default: 60s]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -l max-retries -d 'Rounds within the timeout, each with other trackers [default: 4]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -l peer -d 'Peer to dial whatever else is known (repeat for more)' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -l tracker -d 'Tracker to ask beside the source\'s own (repeat for more)' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -l dht-bootstrap -d 'DHT node to start from instead of the well-known ones (repeat for more)' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -l config -d 'Read settings from this file' -r -F
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -l temp-dir -d 'Where torrents are kept while they are streamed [default: ./temp]' -r -F
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -l state-dir -d 'Where failures are remembered [default: the XDG state directory]' -r -F
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -l log-format -d 'Form of the log on stderr [default: text]' -r -f -a "text\t''
json\t''"
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -l progress -d 'Form of the progress on stderr [default: auto]' -r -f -a "auto\t''
bar\t''
plain\t''
json\t''
none\t''"
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -s l -l list -d 'List the files and exit'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -l json -d 'With -l: print JSON for scripts'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -l force -d 'Try although the torrent failed recently'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -l remove -d 'Remove the torrent\'s data afterwards'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -l no-trackers -d 'Ask no tracker at all'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -l no-dht -d 'Do not use the DHT'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -l lsd -d 'Look for peers on the local network'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -l no-upload -d 'Give nothing back to the swarm'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -l ipv4-only -d 'Never use IPv6'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -l private -d 'No DHT, LSD, PEX, upload, way in or client name'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -s q -l quiet -d 'Say nothing but errors'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -s v -l verbose -d 'Log more: -v what is done, -vv how, -vvv everything'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand stream" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l listen -d 'Address or unix:PATH to listen at (repeat for more) [default: port 7000 of both loopbacks]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l token -d 'Secret that every request must show (Authorization: Bearer, or ?token=)' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l public-url -d 'What this server is called from outside, behind a proxy' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l allow-host -d 'Further name of this server (repeat for more)' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l allow-origin -d 'Site whose pages may use this server, or * (repeat for more)' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l trust-proxy -d 'Proxy whose X-Forwarded-For is believed (repeat for more)' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l max-connections -d 'Connections at once [default: 4096, or what the limit on open files allows]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l starts-per-minute -d 'Torrents that one address may start in a minute [default: 60]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l reader-timeout -d 'Let go of a reader that takes nothing for [default: 10m]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l silence-timeout -d 'Let go of a reader whose machine does not answer for [default: 30s]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l trackers-file -d 'Trackers for the later rounds, one URL a line' -r -F
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l listen-port -d 'TCP port for incoming peers [default: any free one]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l peer-limit -d 'Connected peers at most [default: 128]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l download-limit -d 'Bytes a second down, 16KiB or more [default: no limit]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l upload-limit -d 'Bytes a second up, 16KiB or more [default: no limit]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l proxy -d 'SOCKS5 proxy for peers and HTTP trackers; nothing goes around it' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l bind-device -d 'Network device to use, such as wg0' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l min-free -d 'Free disk to leave [default: 5 % of it, 256MiB to 4GiB]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l max-disk -d 'Disk that all torrents together may take [default: no limit]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l peer-timeout -d 'Give up when no peer was reached after [default: 60s]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l timeout -d 'Give up when no byte came after [default: 2m]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l stall-timeout -d 'Give up when the stream stands still for [default: 60s]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l max-retries -d 'Rounds within the timeout, each with other trackers [default: 4]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l peer -d 'Peer to dial whatever else is known (repeat for more)' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l tracker -d 'Tracker to ask beside the source\'s own (repeat for more)' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l dht-bootstrap -d 'DHT node to start from instead of the well-known ones (repeat for more)' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l config -d 'Read settings from this file' -r -F
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l temp-dir -d 'Where torrents are kept while they are streamed [default: ./temp]' -r -F
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l state-dir -d 'Where failures are remembered [default: the XDG state directory]' -r -F
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l log-format -d 'Form of the log on stderr [default: text]' -r -f -a "text\t''
json\t''"
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l progress -d 'Form of the progress on stderr [default: auto]' -r -f -a "auto\t''
bar\t''
plain\t''
json\t''
none\t''"
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l allow-public -d 'Let other machines use it without a token'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l allow-private-peers -d 'Let requests and the swarm lead into private networks'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l no-trackers -d 'Ask no tracker at all'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l no-dht -d 'Do not use the DHT'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l lsd -d 'Look for peers on the local network'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l no-upload -d 'Give nothing back to the swarm'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l ipv4-only -d 'Never use IPv6'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -l private -d 'No DHT, LSD, PEX, upload, way in or client name'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -s q -l quiet -d 'Say nothing but errors'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -s v -l verbose -d 'Log more: -v what is done, -vv how, -vvv everything'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and not __fish_seen_subcommand_from list clear help" -l peer -d 'Peer to dial whatever else is known (repeat for more)' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and not __fish_seen_subcommand_from list clear help" -l tracker -d 'Tracker to ask beside the source\'s own (repeat for more)' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and not __fish_seen_subcommand_from list clear help" -l dht-bootstrap -d 'DHT node to start from instead of the well-known ones (repeat for more)' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and not __fish_seen_subcommand_from list clear help" -l config -d 'Read settings from this file' -r -F
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and not __fish_seen_subcommand_from list clear help" -l temp-dir -d 'Where torrents are kept while they are streamed [default: ./temp]' -r -F
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and not __fish_seen_subcommand_from list clear help" -l state-dir -d 'Where failures are remembered [default: the XDG state directory]' -r -F
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and not __fish_seen_subcommand_from list clear help" -l log-format -d 'Form of the log on stderr [default: text]' -r -f -a "text\t''
json\t''"
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and not __fish_seen_subcommand_from list clear help" -l progress -d 'Form of the progress on stderr [default: auto]' -r -f -a "auto\t''
bar\t''
plain\t''
json\t''
none\t''"
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and not __fish_seen_subcommand_from list clear help" -l trackers-file -d 'Trackers for the later rounds, one URL a line' -r -F
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and not __fish_seen_subcommand_from list clear help" -l listen-port -d 'TCP port for incoming peers [default: any free one]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and not __fish_seen_subcommand_from list clear help" -l peer-limit -d 'Connected peers at most [default: 128]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and not __fish_seen_subcommand_from list clear help" -l download-limit -d 'Bytes a second down, 16KiB or more [default: no limit]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and not __fish_seen_subcommand_from list clear help" -l upload-limit -d 'Bytes a second up, 16KiB or more [default: no limit]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and not __fish_seen_subcommand_from list clear help" -l proxy -d 'SOCKS5 proxy for peers and HTTP trackers; nothing goes around it' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and not __fish_seen_subcommand_from list clear help" -l bind-device -d 'Network device to use, such as wg0' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and not __fish_seen_subcommand_from list clear help" -l min-free -d 'Free disk to leave [default: 5 % of it, 256MiB to 4GiB]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and not __fish_seen_subcommand_from list clear help" -l max-disk -d 'Disk that all torrents together may take [default: no limit]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and not __fish_seen_subcommand_from list clear help" -l peer-timeout -d 'Give up when no peer was reached after [default: 60s]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and not __fish_seen_subcommand_from list clear help" -l timeout -d 'Give up when no byte came after [default: 2m]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and not __fish_seen_subcommand_from list clear help" -l stall-timeout -d 'Give up when the stream stands still for [default: 60s]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and not __fish_seen_subcommand_from list clear help" -l max-retries -d 'Rounds within the timeout, each with other trackers [default: 4]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and not __fish_seen_subcommand_from list clear help" -s q -l quiet -d 'Say nothing but errors'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and not __fish_seen_subcommand_from list clear help" -s v -l verbose -d 'Log more: -v what is done, -vv how, -vvv everything'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and not __fish_seen_subcommand_from list clear help" -l no-trackers -d 'Ask no tracker at all'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and not __fish_seen_subcommand_from list clear help" -l no-dht -d 'Do not use the DHT'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and not __fish_seen_subcommand_from list clear help" -l lsd -d 'Look for peers on the local network'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and not __fish_seen_subcommand_from list clear help" -l no-upload -d 'Give nothing back to the swarm'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and not __fish_seen_subcommand_from list clear help" -l ipv4-only -d 'Never use IPv6'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and not __fish_seen_subcommand_from list clear help" -l private -d 'No DHT, LSD, PEX, upload, way in or client name'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and not __fish_seen_subcommand_from list clear help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and not __fish_seen_subcommand_from list clear help" -f -a "list" -d 'List the torrents that are cooling down'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and not __fish_seen_subcommand_from list clear help" -f -a "clear" -d 'Forget failures, so that the torrents are tried again'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and not __fish_seen_subcommand_from list clear help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from list" -l peer -d 'Peer to dial whatever else is known (repeat for more)' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from list" -l tracker -d 'Tracker to ask beside the source\'s own (repeat for more)' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from list" -l dht-bootstrap -d 'DHT node to start from instead of the well-known ones (repeat for more)' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from list" -l config -d 'Read settings from this file' -r -F
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from list" -l temp-dir -d 'Where torrents are kept while they are streamed [default: ./temp]' -r -F
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from list" -l state-dir -d 'Where failures are remembered [default: the XDG state directory]' -r -F
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from list" -l log-format -d 'Form of the log on stderr [default: text]' -r -f -a "text\t''
json\t''"
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from list" -l progress -d 'Form of the progress on stderr [default: auto]' -r -f -a "auto\t''
bar\t''
plain\t''
json\t''
none\t''"
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from list" -l trackers-file -d 'Trackers for the later rounds, one URL a line' -r -F
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from list" -l listen-port -d 'TCP port for incoming peers [default: any free one]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from list" -l peer-limit -d 'Connected peers at most [default: 128]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from list" -l download-limit -d 'Bytes a second down, 16KiB or more [default: no limit]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from list" -l upload-limit -d 'Bytes a second up, 16KiB or more [default: no limit]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from list" -l proxy -d 'SOCKS5 proxy for peers and HTTP trackers; nothing goes around it' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from list" -l bind-device -d 'Network device to use, such as wg0' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from list" -l min-free -d 'Free disk to leave [default: 5 % of it, 256MiB to 4GiB]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from list" -l max-disk -d 'Disk that all torrents together may take [default: no limit]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from list" -l peer-timeout -d 'Give up when no peer was reached after [default: 60s]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from list" -l timeout -d 'Give up when no byte came after [default: 2m]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from list" -l stall-timeout -d 'Give up when the stream stands still for [default: 60s]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from list" -l max-retries -d 'Rounds within the timeout, each with other trackers [default: 4]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from list" -l all -d 'Also those that may be tried again'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from list" -l json -d 'Print JSON for scripts'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Say nothing but errors'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Log more: -v what is done, -vv how, -vvv everything'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from list" -l no-trackers -d 'Ask no tracker at all'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from list" -l no-dht -d 'Do not use the DHT'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from list" -l lsd -d 'Look for peers on the local network'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from list" -l no-upload -d 'Give nothing back to the swarm'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from list" -l ipv4-only -d 'Never use IPv6'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from list" -l private -d 'No DHT, LSD, PEX, upload, way in or client name'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from clear" -l peer -d 'Peer to dial whatever else is known (repeat for more)' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from clear" -l tracker -d 'Tracker to ask beside the source\'s own (repeat for more)' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from clear" -l dht-bootstrap -d 'DHT node to start from instead of the well-known ones (repeat for more)' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from clear" -l config -d 'Read settings from this file' -r -F
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from clear" -l temp-dir -d 'Where torrents are kept while they are streamed [default: ./temp]' -r -F
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from clear" -l state-dir -d 'Where failures are remembered [default: the XDG state directory]' -r -F
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from clear" -l log-format -d 'Form of the log on stderr [default: text]' -r -f -a "text\t''
json\t''"
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from clear" -l progress -d 'Form of the progress on stderr [default: auto]' -r -f -a "auto\t''
bar\t''
plain\t''
json\t''
none\t''"
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from clear" -l trackers-file -d 'Trackers for the later rounds, one URL a line' -r -F
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from clear" -l listen-port -d 'TCP port for incoming peers [default: any free one]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from clear" -l peer-limit -d 'Connected peers at most [default: 128]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from clear" -l download-limit -d 'Bytes a second down, 16KiB or more [default: no limit]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from clear" -l upload-limit -d 'Bytes a second up, 16KiB or more [default: no limit]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from clear" -l proxy -d 'SOCKS5 proxy for peers and HTTP trackers; nothing goes around it' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from clear" -l bind-device -d 'Network device to use, such as wg0' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from clear" -l min-free -d 'Free disk to leave [default: 5 % of it, 256MiB to 4GiB]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from clear" -l max-disk -d 'Disk that all torrents together may take [default: no limit]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from clear" -l peer-timeout -d 'Give up when no peer was reached after [default: 60s]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from clear" -l timeout -d 'Give up when no byte came after [default: 2m]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from clear" -l stall-timeout -d 'Give up when the stream stands still for [default: 60s]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from clear" -l max-retries -d 'Rounds within the timeout, each with other trackers [default: 4]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from clear" -s q -l quiet -d 'Say nothing but errors'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from clear" -s v -l verbose -d 'Log more: -v what is done, -vv how, -vvv everything'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from clear" -l no-trackers -d 'Ask no tracker at all'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from clear" -l no-dht -d 'Do not use the DHT'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from clear" -l lsd -d 'Look for peers on the local network'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from clear" -l no-upload -d 'Give nothing back to the swarm'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from clear" -l ipv4-only -d 'Never use IPv6'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from clear" -l private -d 'No DHT, LSD, PEX, upload, way in or client name'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from clear" -s h -l help -d 'Print help'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the torrents that are cooling down'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from help" -f -a "clear" -d 'Forget failures, so that the torrents are tried again'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand failed; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand cleanup" -l older-than -d 'Only what has been idle for this long' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand cleanup" -l peer -d 'Peer to dial whatever else is known (repeat for more)' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand cleanup" -l tracker -d 'Tracker to ask beside the source\'s own (repeat for more)' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand cleanup" -l dht-bootstrap -d 'DHT node to start from instead of the well-known ones (repeat for more)' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand cleanup" -l config -d 'Read settings from this file' -r -F
complete -c swarmcat -n "__fish_swarmcat_using_subcommand cleanup" -l temp-dir -d 'Where torrents are kept while they are streamed [default: ./temp]' -r -F
complete -c swarmcat -n "__fish_swarmcat_using_subcommand cleanup" -l state-dir -d 'Where failures are remembered [default: the XDG state directory]' -r -F
complete -c swarmcat -n "__fish_swarmcat_using_subcommand cleanup" -l log-format -d 'Form of the log on stderr [default: text]' -r -f -a "text\t''
json\t''"
complete -c swarmcat -n "__fish_swarmcat_using_subcommand cleanup" -l progress -d 'Form of the progress on stderr [default: auto]' -r -f -a "auto\t''
bar\t''
plain\t''
json\t''
none\t''"
complete -c swarmcat -n "__fish_swarmcat_using_subcommand cleanup" -l trackers-file -d 'Trackers for the later rounds, one URL a line' -r -F
complete -c swarmcat -n "__fish_swarmcat_using_subcommand cleanup" -l listen-port -d 'TCP port for incoming peers [default: any free one]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand cleanup" -l peer-limit -d 'Connected peers at most [default: 128]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand cleanup" -l download-limit -d 'Bytes a second down, 16KiB or more [default: no limit]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand cleanup" -l upload-limit -d 'Bytes a second up, 16KiB or more [default: no limit]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand cleanup" -l proxy -d 'SOCKS5 proxy for peers and HTTP trackers; nothing goes around it' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand cleanup" -l bind-device -d 'Network device to use, such as wg0' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand cleanup" -l min-free -d 'Free disk to leave [default: 5 % of it, 256MiB to 4GiB]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand cleanup" -l max-disk -d 'Disk that all torrents together may take [default: no limit]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand cleanup" -l peer-timeout -d 'Give up when no peer was reached after [default: 60s]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand cleanup" -l timeout -d 'Give up when no byte came after [default: 2m]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand cleanup" -l stall-timeout -d 'Give up when the stream stands still for [default: 60s]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand cleanup" -l max-retries -d 'Rounds within the timeout, each with other trackers [default: 4]' -r
complete -c swarmcat -n "__fish_swarmcat_using_subcommand cleanup" -s n -l dry-run -d 'Say what would go, and leave it'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand cleanup" -l json -d 'Print JSON for scripts'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand cleanup" -s q -l quiet -d 'Say nothing but errors'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand cleanup" -s v -l verbose -d 'Log more: -v what is done, -vv how, -vvv everything'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand cleanup" -l no-trackers -d 'Ask no tracker at all'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand cleanup" -l no-dht -d 'Do not use the DHT'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand cleanup" -l lsd -d 'Look for peers on the local network'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand cleanup" -l no-upload -d 'Give nothing back to the swarm'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand cleanup" -l ipv4-only -d 'Never use IPv6'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand cleanup" -l private -d 'No DHT, LSD, PEX, upload, way in or client name'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand cleanup" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand help; and not __fish_seen_subcommand_from stream serve failed cleanup help" -f -a "stream" -d 'Stream one file of a torrent to stdout, a file or a player'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand help; and not __fish_seen_subcommand_from stream serve failed cleanup help" -f -a "serve" -d 'Serve torrents over HTTP to players, TVs and scripts'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand help; and not __fish_seen_subcommand_from stream serve failed cleanup help" -f -a "failed" -d 'Show or forget the torrents that failed recently'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand help; and not __fish_seen_subcommand_from stream serve failed cleanup help" -f -a "cleanup" -d 'Remove what idle torrents left in the temp directory'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand help; and not __fish_seen_subcommand_from stream serve failed cleanup help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand help; and __fish_seen_subcommand_from failed" -f -a "list" -d 'List the torrents that are cooling down'
complete -c swarmcat -n "__fish_swarmcat_using_subcommand help; and __fish_seen_subcommand_from failed" -f -a "clear" -d 'Forget failures, so that the torrents are tried again'
