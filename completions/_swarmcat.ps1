
using namespace System.Management.Automation
using namespace System.Management.Automation.Language

Register-ArgumentCompleter -Native -CommandName 'swarmcat' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $commandElements = $commandAst.CommandElements
    $command = @(
        'swarmcat'
        for ($i = 1; $i -lt $commandElements.Count; $i++) {
            $element = $commandElements[$i]
            if ($element -isnot [StringConstantExpressionAst] -or
                $element.StringConstantType -ne [StringConstantType]::BareWord -or
                $element.Value.StartsWith('-') -or
                $element.Value -eq $wordToComplete) {
                break
        }
        $element.Value
    }) -join ';'

    $completions = @(switch ($command) {
        'swarmcat' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read settings from this file')
            [CompletionResult]::new('--temp-dir', '--temp-dir', [CompletionResultType]::ParameterName, 'Where torrents are kept while they are streamed [default: ./temp]')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where failures are remembered [default: the XDG state directory]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Form of the log on stderr [default: text]')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'Form of the progress on stderr [default: auto]')
            [CompletionResult]::new('--trackers-file', '--trackers-file', [CompletionResultType]::ParameterName, 'Trackers for the later rounds, one URL a line')
            [CompletionResult]::new('--listen-port', '--listen-port', [CompletionResultType]::ParameterName, 'TCP port for incoming peers [default: any free one]')
            [CompletionResult]::new('--peer-limit', '--peer-limit', [CompletionResultType]::ParameterName, 'Connected peers at most [default: 128]')
            [CompletionResult]::new('--download-limit', '--download-limit', [CompletionResultType]::ParameterName, 'Bytes a second down, 16KiB or more [default: no limit]')
            [CompletionResult]::new('--upload-limit', '--upload-limit', [CompletionResultType]::ParameterName, 'Bytes a second up, 16KiB or more [default: no limit]')
            [CompletionResult]::new('--proxy', '--proxy', [CompletionResultType]::ParameterName, 'SOCKS5 proxy for peers and HTTP trackers; nothing goes around it')
            [CompletionResult]::new('--bind-device', '--bind-device', [CompletionResultType]::ParameterName, 'Network device to use, such as wg0')
            [CompletionResult]::new('--min-free', '--min-free', [CompletionResultType]::ParameterName, 'Free disk to leave [default: 5 % of it, 256MiB to 4GiB]')
            [CompletionResult]::new('--max-disk', '--max-disk', [CompletionResultType]::ParameterName, 'Disk that all torrents together may take [default: no limit]')
            [CompletionResult]::new('--peer-timeout', '--peer-timeout', [CompletionResultType]::ParameterName, 'Give up when no peer was reached after [default: 60s]')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Give up when no byte came after [default: 2m]')
            [CompletionResult]::new('--stall-timeout', '--stall-timeout', [CompletionResultType]::ParameterName, 'Give up when the stream stands still for [default: 60s]')
            [CompletionResult]::new('--max-retries', '--max-retries', [CompletionResultType]::ParameterName, 'Rounds within the timeout, each with other trackers [default: 4]')
            [CompletionResult]::new('--peer', '--peer', [CompletionResultType]::ParameterName, 'Peer to dial whatever else is known (repeat for more)')
            [CompletionResult]::new('--tracker', '--tracker', [CompletionResultType]::ParameterName, 'Tracker to ask beside the source''s own (repeat for more)')
            [CompletionResult]::new('--dht-bootstrap', '--dht-bootstrap', [CompletionResultType]::ParameterName, 'DHT node to start from instead of the well-known ones (repeat for more)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v what is done, -vv how, -vvv everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v what is done, -vv how, -vvv everything')
            [CompletionResult]::new('--no-trackers', '--no-trackers', [CompletionResultType]::ParameterName, 'Ask no tracker at all')
            [CompletionResult]::new('--no-dht', '--no-dht', [CompletionResultType]::ParameterName, 'Do not use the DHT')
            [CompletionResult]::new('--lsd', '--lsd', [CompletionResultType]::ParameterName, 'Look for peers on the local network')
            [CompletionResult]::new('--no-upload', '--no-upload', [CompletionResultType]::ParameterName, 'Give nothing back to the swarm')
            [CompletionResult]::new('--ipv4-only', '--ipv4-only', [CompletionResultType]::ParameterName, 'Never use IPv6')
            [CompletionResult]::new('--private', '--private', [CompletionResultType]::ParameterName, 'No DHT, LSD, PEX, upload, way in or client name')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('stream', 'stream', [CompletionResultType]::ParameterValue, 'Stream one file of a torrent to stdout, a file or a player')
            [CompletionResult]::new('serve', 'serve', [CompletionResultType]::ParameterValue, 'Serve torrents over HTTP to players, TVs and scripts')
            [CompletionResult]::new('failed', 'failed', [CompletionResultType]::ParameterValue, 'Show or forget the torrents that failed recently')
            [CompletionResult]::new('cleanup', 'cleanup', [CompletionResultType]::ParameterValue, 'Remove what idle torrents left in the temp directory')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'swarmcat;stream' {
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'Write to a file, by way of PATH.part; - is stdout')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'Write to a file, by way of PATH.part; - is stdout')
            [CompletionResult]::new('-i', '-i', [CompletionResultType]::ParameterName, 'The file with this number, from 0, as -l prints it')
            [CompletionResult]::new('--index', '--index', [CompletionResultType]::ParameterName, 'The file with this number, from 0, as -l prints it')
            [CompletionResult]::new('-s', '-s', [CompletionResultType]::ParameterName, 'The file whose path matches, or that is this episode: S01E02')
            [CompletionResult]::new('--select', '--select', [CompletionResultType]::ParameterName, 'The file whose path matches, or that is this episode: S01E02')
            [CompletionResult]::new('--range', '--range', [CompletionResultType]::ParameterName, 'Only these bytes, as in HTTP: 0-499, 500-, -500')
            [CompletionResult]::new('--open', '--open', [CompletionResultType]::ParameterName, 'Start a player (mpv, vlc, ... or auto) on a local URL of the stream')
            [CompletionResult]::new('--trackers-file', '--trackers-file', [CompletionResultType]::ParameterName, 'Trackers for the later rounds, one URL a line')
            [CompletionResult]::new('--listen-port', '--listen-port', [CompletionResultType]::ParameterName, 'TCP port for incoming peers [default: any free one]')
            [CompletionResult]::new('--peer-limit', '--peer-limit', [CompletionResultType]::ParameterName, 'Connected peers at most [default: 128]')
            [CompletionResult]::new('--download-limit', '--download-limit', [CompletionResultType]::ParameterName, 'Bytes a second down, 16KiB or more [default: no limit]')
            [CompletionResult]::new('--upload-limit', '--upload-limit', [CompletionResultType]::ParameterName, 'Bytes a second up, 16KiB or more [default: no limit]')
            [CompletionResult]::new('--proxy', '--proxy', [CompletionResultType]::ParameterName, 'SOCKS5 proxy for peers and HTTP trackers; nothing goes around it')
            [CompletionResult]::new('--bind-device', '--bind-device', [CompletionResultType]::ParameterName, 'Network device to use, such as wg0')
            [CompletionResult]::new('--min-free', '--min-free', [CompletionResultType]::ParameterName, 'Free disk to leave [default: 5 % of it, 256MiB to 4GiB]')
            [CompletionResult]::new('--max-disk', '--max-disk', [CompletionResultType]::ParameterName, 'Disk that all torrents together may take [default: no limit]')
            [CompletionResult]::new('--peer-timeout', '--peer-timeout', [CompletionResultType]::ParameterName, 'Give up when no peer was reached after [default: 60s]')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Give up when no byte came after [default: 2m]')
            [CompletionResult]::new('--stall-timeout', '--stall-timeout', [CompletionResultType]::ParameterName, 'Give up when the stream stands still for [default: 60s]')
            [CompletionResult]::new('--max-retries', '--max-retries', [CompletionResultType]::ParameterName, 'Rounds within the timeout, each with other trackers [default: 4]')
            [CompletionResult]::new('--peer', '--peer', [CompletionResultType]::ParameterName, 'Peer to dial whatever else is known (repeat for more)')
            [CompletionResult]::new('--tracker', '--tracker', [CompletionResultType]::ParameterName, 'Tracker to ask beside the source''s own (repeat for more)')
            [CompletionResult]::new('--dht-bootstrap', '--dht-bootstrap', [CompletionResultType]::ParameterName, 'DHT node to start from instead of the well-known ones (repeat for more)')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read settings from this file')
            [CompletionResult]::new('--temp-dir', '--temp-dir', [CompletionResultType]::ParameterName, 'Where torrents are kept while they are streamed [default: ./temp]')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where failures are remembered [default: the XDG state directory]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Form of the log on stderr [default: text]')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'Form of the progress on stderr [default: auto]')
            [CompletionResult]::new('-l', '-l', [CompletionResultType]::ParameterName, 'List the files and exit')
            [CompletionResult]::new('--list', '--list', [CompletionResultType]::ParameterName, 'List the files and exit')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'With -l: print JSON for scripts')
            [CompletionResult]::new('--force', '--force', [CompletionResultType]::ParameterName, 'Try although the torrent failed recently')
            [CompletionResult]::new('--remove', '--remove', [CompletionResultType]::ParameterName, 'Remove the torrent''s data afterwards')
            [CompletionResult]::new('--no-trackers', '--no-trackers', [CompletionResultType]::ParameterName, 'Ask no tracker at all')
            [CompletionResult]::new('--no-dht', '--no-dht', [CompletionResultType]::ParameterName, 'Do not use the DHT')
            [CompletionResult]::new('--lsd', '--lsd', [CompletionResultType]::ParameterName, 'Look for peers on the local network')
            [CompletionResult]::new('--no-upload', '--no-upload', [CompletionResultType]::ParameterName, 'Give nothing back to the swarm')
            [CompletionResult]::new('--ipv4-only', '--ipv4-only', [CompletionResultType]::ParameterName, 'Never use IPv6')
            [CompletionResult]::new('--private', '--private', [CompletionResultType]::ParameterName, 'No DHT, LSD, PEX, upload, way in or client name')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v what is done, -vv how, -vvv everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v what is done, -vv how, -vvv everything')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'swarmcat;serve' {
            [CompletionResult]::new('--listen', '--listen', [CompletionResultType]::ParameterName, 'Address or unix:PATH to listen at (repeat for more) [default: port 7000 of both loopbacks]')
            [CompletionResult]::new('--token', '--token', [CompletionResultType]::ParameterName, 'Secret that every request must show (Authorization: Bearer, or ?token=)')
            [CompletionResult]::new('--public-url', '--public-url', [CompletionResultType]::ParameterName, 'What this server is called from outside, behind a proxy')
            [CompletionResult]::new('--allow-host', '--allow-host', [CompletionResultType]::ParameterName, 'Further name of this server (repeat for more)')
            [CompletionResult]::new('--allow-origin', '--allow-origin', [CompletionResultType]::ParameterName, 'Site whose pages may use this server, or * (repeat for more)')
            [CompletionResult]::new('--trust-proxy', '--trust-proxy', [CompletionResultType]::ParameterName, 'Proxy whose X-Forwarded-For is believed (repeat for more)')
            [CompletionResult]::new('--max-connections', '--max-connections', [CompletionResultType]::ParameterName, 'Connections at once [default: 4096, or what the limit on open files allows]')
            [CompletionResult]::new('--starts-per-minute', '--starts-per-minute', [CompletionResultType]::ParameterName, 'Torrents that one address may start in a minute [default: 60]')
            [CompletionResult]::new('--reader-timeout', '--reader-timeout', [CompletionResultType]::ParameterName, 'Let go of a reader that takes nothing for [default: 10m]')
            [CompletionResult]::new('--silence-timeout', '--silence-timeout', [CompletionResultType]::ParameterName, 'Let go of a reader whose machine does not answer for [default: 30s]')
            [CompletionResult]::new('--trackers-file', '--trackers-file', [CompletionResultType]::ParameterName, 'Trackers for the later rounds, one URL a line')
            [CompletionResult]::new('--listen-port', '--listen-port', [CompletionResultType]::ParameterName, 'TCP port for incoming peers [default: any free one]')
            [CompletionResult]::new('--peer-limit', '--peer-limit', [CompletionResultType]::ParameterName, 'Connected peers at most [default: 128]')
            [CompletionResult]::new('--download-limit', '--download-limit', [CompletionResultType]::ParameterName, 'Bytes a second down, 16KiB or more [default: no limit]')
            [CompletionResult]::new('--upload-limit', '--upload-limit', [CompletionResultType]::ParameterName, 'Bytes a second up, 16KiB or more [default: no limit]')
            [CompletionResult]::new('--proxy', '--proxy', [CompletionResultType]::ParameterName, 'SOCKS5 proxy for peers and HTTP trackers; nothing goes around it')
            [CompletionResult]::new('--bind-device', '--bind-device', [CompletionResultType]::ParameterName, 'Network device to use, such as wg0')
            [CompletionResult]::new('--min-free', '--min-free', [CompletionResultType]::ParameterName, 'Free disk to leave [default: 5 % of it, 256MiB to 4GiB]')
            [CompletionResult]::new('--max-disk', '--max-disk', [CompletionResultType]::ParameterName, 'Disk that all torrents together may take [default: no limit]')
            [CompletionResult]::new('--peer-timeout', '--peer-timeout', [CompletionResultType]::ParameterName, 'Give up when no peer was reached after [default: 60s]')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Give up when no byte came after [default: 2m]')
            [CompletionResult]::new('--stall-timeout', '--stall-timeout', [CompletionResultType]::ParameterName, 'Give up when the stream stands still for [default: 60s]')
            [CompletionResult]::new('--max-retries', '--max-retries', [CompletionResultType]::ParameterName, 'Rounds within the timeout, each with other trackers [default: 4]')
            [CompletionResult]::new('--peer', '--peer', [CompletionResultType]::ParameterName, 'Peer to dial whatever else is known (repeat for more)')
            [CompletionResult]::new('--tracker', '--tracker', [CompletionResultType]::ParameterName, 'Tracker to ask beside the source''s own (repeat for more)')
            [CompletionResult]::new('--dht-bootstrap', '--dht-bootstrap', [CompletionResultType]::ParameterName, 'DHT node to start from instead of the well-known ones (repeat for more)')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read settings from this file')
            [CompletionResult]::new('--temp-dir', '--temp-dir', [CompletionResultType]::ParameterName, 'Where torrents are kept while they are streamed [default: ./temp]')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where failures are remembered [default: the XDG state directory]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Form of the log on stderr [default: text]')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'Form of the progress on stderr [default: auto]')
            [CompletionResult]::new('--allow-public', '--allow-public', [CompletionResultType]::ParameterName, 'Let other machines use it without a token')
            [CompletionResult]::new('--allow-private-peers', '--allow-private-peers', [CompletionResultType]::ParameterName, 'Let requests and the swarm lead into private networks')
            [CompletionResult]::new('--no-trackers', '--no-trackers', [CompletionResultType]::ParameterName, 'Ask no tracker at all')
            [CompletionResult]::new('--no-dht', '--no-dht', [CompletionResultType]::ParameterName, 'Do not use the DHT')
            [CompletionResult]::new('--lsd', '--lsd', [CompletionResultType]::ParameterName, 'Look for peers on the local network')
            [CompletionResult]::new('--no-upload', '--no-upload', [CompletionResultType]::ParameterName, 'Give nothing back to the swarm')
            [CompletionResult]::new('--ipv4-only', '--ipv4-only', [CompletionResultType]::ParameterName, 'Never use IPv6')
            [CompletionResult]::new('--private', '--private', [CompletionResultType]::ParameterName, 'No DHT, LSD, PEX, upload, way in or client name')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v what is done, -vv how, -vvv everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v what is done, -vv how, -vvv everything')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'swarmcat;failed' {
            [CompletionResult]::new('--peer', '--peer', [CompletionResultType]::ParameterName, 'Peer to dial whatever else is known (repeat for more)')
            [CompletionResult]::new('--tracker', '--tracker', [CompletionResultType]::ParameterName, 'Tracker to ask beside the source''s own (repeat for more)')
            [CompletionResult]::new('--dht-bootstrap', '--dht-bootstrap', [CompletionResultType]::ParameterName, 'DHT node to start from instead of the well-known ones (repeat for more)')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read settings from this file')
            [CompletionResult]::new('--temp-dir', '--temp-dir', [CompletionResultType]::ParameterName, 'Where torrents are kept while they are streamed [default: ./temp]')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where failures are remembered [default: the XDG state directory]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Form of the log on stderr [default: text]')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'Form of the progress on stderr [default: auto]')
            [CompletionResult]::new('--trackers-file', '--trackers-file', [CompletionResultType]::ParameterName, 'Trackers for the later rounds, one URL a line')
            [CompletionResult]::new('--listen-port', '--listen-port', [CompletionResultType]::ParameterName, 'TCP port for incoming peers [default: any free one]')
            [CompletionResult]::new('--peer-limit', '--peer-limit', [CompletionResultType]::ParameterName, 'Connected peers at most [default: 128]')
            [CompletionResult]::new('--download-limit', '--download-limit', [CompletionResultType]::ParameterName, 'Bytes a second down, 16KiB or more [default: no limit]')
            [CompletionResult]::new('--upload-limit', '--upload-limit', [CompletionResultType]::ParameterName, 'Bytes a second up, 16KiB or more [default: no limit]')
            [CompletionResult]::new('--proxy', '--proxy', [CompletionResultType]::ParameterName, 'SOCKS5 proxy for peers and HTTP trackers; nothing goes around it')
            [CompletionResult]::new('--bind-device', '--bind-device', [CompletionResultType]::ParameterName, 'Network device to use, such as wg0')
            [CompletionResult]::new('--min-free', '--min-free', [CompletionResultType]::ParameterName, 'Free disk to leave [default: 5 % of it, 256MiB to 4GiB]')
            [CompletionResult]::new('--max-disk', '--max-disk', [CompletionResultType]::ParameterName, 'Disk that all torrents together may take [default: no limit]')
            [CompletionResult]::new('--peer-timeout', '--peer-timeout', [CompletionResultType]::ParameterName, 'Give up when no peer was reached after [default: 60s]')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Give up when no byte came after [default: 2m]')
            [CompletionResult]::new('--stall-timeout', '--stall-timeout', [CompletionResultType]::ParameterName, 'Give up when the stream stands still for [default: 60s]')
            [CompletionResult]::new('--max-retries', '--max-retries', [CompletionResultType]::ParameterName, 'Rounds within the timeout, each with other trackers [default: 4]')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v what is done, -vv how, -vvv everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v what is done, -vv how, -vvv everything')
            [CompletionResult]::new('--no-trackers', '--no-trackers', [CompletionResultType]::ParameterName, 'Ask no tracker at all')
            [CompletionResult]::new('--no-dht', '--no-dht', [CompletionResultType]::ParameterName, 'Do not use the DHT')
            [CompletionResult]::new('--lsd', '--lsd', [CompletionResultType]::ParameterName, 'Look for peers on the local network')
            [CompletionResult]::new('--no-upload', '--no-upload', [CompletionResultType]::ParameterName, 'Give nothing back to the swarm')
            [CompletionResult]::new('--ipv4-only', '--ipv4-only', [CompletionResultType]::ParameterName, 'Never use IPv6')
            [CompletionResult]::new('--private', '--private', [CompletionResultType]::ParameterName, 'No DHT, LSD, PEX, upload, way in or client name')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the torrents that are cooling down')
            [CompletionResult]::new('clear', 'clear', [CompletionResultType]::ParameterValue, 'Forget failures, so that the torrents are tried again')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'swarmcat;failed;list' {
            [CompletionResult]::new('--peer', '--peer', [CompletionResultType]::ParameterName, 'Peer to dial whatever else is known (repeat for more)')
            [CompletionResult]::new('--tracker', '--tracker', [CompletionResultType]::ParameterName, 'Tracker to ask beside the source''s own (repeat for more)')
            [CompletionResult]::new('--dht-bootstrap', '--dht-bootstrap', [CompletionResultType]::ParameterName, 'DHT node to start from instead of the well-known ones (repeat for more)')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read settings from this file')
            [CompletionResult]::new('--temp-dir', '--temp-dir', [CompletionResultType]::ParameterName, 'Where torrents are kept while they are streamed [default: ./temp]')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where failures are remembered [default: the XDG state directory]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Form of the log on stderr [default: text]')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'Form of the progress on stderr [default: auto]')
            [CompletionResult]::new('--trackers-file', '--trackers-file', [CompletionResultType]::ParameterName, 'Trackers for the later rounds, one URL a line')
            [CompletionResult]::new('--listen-port', '--listen-port', [CompletionResultType]::ParameterName, 'TCP port for incoming peers [default: any free one]')
            [CompletionResult]::new('--peer-limit', '--peer-limit', [CompletionResultType]::ParameterName, 'Connected peers at most [default: 128]')
            [CompletionResult]::new('--download-limit', '--download-limit', [CompletionResultType]::ParameterName, 'Bytes a second down, 16KiB or more [default: no limit]')
            [CompletionResult]::new('--upload-limit', '--upload-limit', [CompletionResultType]::ParameterName, 'Bytes a second up, 16KiB or more [default: no limit]')
            [CompletionResult]::new('--proxy', '--proxy', [CompletionResultType]::ParameterName, 'SOCKS5 proxy for peers and HTTP trackers; nothing goes around it')
            [CompletionResult]::new('--bind-device', '--bind-device', [CompletionResultType]::ParameterName, 'Network device to use, such as wg0')
            [CompletionResult]::new('--min-free', '--min-free', [CompletionResultType]::ParameterName, 'Free disk to leave [default: 5 % of it, 256MiB to 4GiB]')
            [CompletionResult]::new('--max-disk', '--max-disk', [CompletionResultType]::ParameterName, 'Disk that all torrents together may take [default: no limit]')
            [CompletionResult]::new('--peer-timeout', '--peer-timeout', [CompletionResultType]::ParameterName, 'Give up when no peer was reached after [default: 60s]')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Give up when no byte came after [default: 2m]')
            [CompletionResult]::new('--stall-timeout', '--stall-timeout', [CompletionResultType]::ParameterName, 'Give up when the stream stands still for [default: 60s]')
            [CompletionResult]::new('--max-retries', '--max-retries', [CompletionResultType]::ParameterName, 'Rounds within the timeout, each with other trackers [default: 4]')
            [CompletionResult]::new('--all', '--all', [CompletionResultType]::ParameterName, 'Also those that may be tried again')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON for scripts')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v what is done, -vv how, -vvv everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v what is done, -vv how, -vvv everything')
            [CompletionResult]::new('--no-trackers', '--no-trackers', [CompletionResultType]::ParameterName, 'Ask no tracker at all')
            [CompletionResult]::new('--no-dht', '--no-dht', [CompletionResultType]::ParameterName, 'Do not use the DHT')
            [CompletionResult]::new('--lsd', '--lsd', [CompletionResultType]::ParameterName, 'Look for peers on the local network')
            [CompletionResult]::new('--no-upload', '--no-upload', [CompletionResultType]::ParameterName, 'Give nothing back to the swarm')
            [CompletionResult]::new('--ipv4-only', '--ipv4-only', [CompletionResultType]::ParameterName, 'Never use IPv6')
            [CompletionResult]::new('--private', '--private', [CompletionResultType]::ParameterName, 'No DHT, LSD, PEX, upload, way in or client name')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'swarmcat;failed;clear' {
            [CompletionResult]::new('--peer', '--peer', [CompletionResultType]::ParameterName, 'Peer to dial whatever else is known (repeat for more)')
            [CompletionResult]::new('--tracker', '--tracker', [CompletionResultType]::ParameterName, 'Tracker to ask beside the source''s own (repeat for more)')
            [CompletionResult]::new('--dht-bootstrap', '--dht-bootstrap', [CompletionResultType]::ParameterName, 'DHT node to start from instead of the well-known ones (repeat for more)')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read settings from this file')
            [CompletionResult]::new('--temp-dir', '--temp-dir', [CompletionResultType]::ParameterName, 'Where torrents are kept while they are streamed [default: ./temp]')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where failures are remembered [default: the XDG state directory]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Form of the log on stderr [default: text]')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'Form of the progress on stderr [default: auto]')
            [CompletionResult]::new('--trackers-file', '--trackers-file', [CompletionResultType]::ParameterName, 'Trackers for the later rounds, one URL a line')
            [CompletionResult]::new('--listen-port', '--listen-port', [CompletionResultType]::ParameterName, 'TCP port for incoming peers [default: any free one]')
            [CompletionResult]::new('--peer-limit', '--peer-limit', [CompletionResultType]::ParameterName, 'Connected peers at most [default: 128]')
            [CompletionResult]::new('--download-limit', '--download-limit', [CompletionResultType]::ParameterName, 'Bytes a second down, 16KiB or more [default: no limit]')
            [CompletionResult]::new('--upload-limit', '--upload-limit', [CompletionResultType]::ParameterName, 'Bytes a second up, 16KiB or more [default: no limit]')
            [CompletionResult]::new('--proxy', '--proxy', [CompletionResultType]::ParameterName, 'SOCKS5 proxy for peers and HTTP trackers; nothing goes around it')
            [CompletionResult]::new('--bind-device', '--bind-device', [CompletionResultType]::ParameterName, 'Network device to use, such as wg0')
            [CompletionResult]::new('--min-free', '--min-free', [CompletionResultType]::ParameterName, 'Free disk to leave [default: 5 % of it, 256MiB to 4GiB]')
            [CompletionResult]::new('--max-disk', '--max-disk', [CompletionResultType]::ParameterName, 'Disk that all torrents together may take [default: no limit]')
            [CompletionResult]::new('--peer-timeout', '--peer-timeout', [CompletionResultType]::ParameterName, 'Give up when no peer was reached after [default: 60s]')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Give up when no byte came after [default: 2m]')
            [CompletionResult]::new('--stall-timeout', '--stall-timeout', [CompletionResultType]::ParameterName, 'Give up when the stream stands still for [default: 60s]')
            [CompletionResult]::new('--max-retries', '--max-retries', [CompletionResultType]::ParameterName, 'Rounds within the timeout, each with other trackers [default: 4]')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v what is done, -vv how, -vvv everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v what is done, -vv how, -vvv everything')
            [CompletionResult]::new('--no-trackers', '--no-trackers', [CompletionResultType]::ParameterName, 'Ask no tracker at all')
            [CompletionResult]::new('--no-dht', '--no-dht', [CompletionResultType]::ParameterName, 'Do not use the DHT')
            [CompletionResult]::new('--lsd', '--lsd', [CompletionResultType]::ParameterName, 'Look for peers on the local network')
            [CompletionResult]::new('--no-upload', '--no-upload', [CompletionResultType]::ParameterName, 'Give nothing back to the swarm')
            [CompletionResult]::new('--ipv4-only', '--ipv4-only', [CompletionResultType]::ParameterName, 'Never use IPv6')
            [CompletionResult]::new('--private', '--private', [CompletionResultType]::ParameterName, 'No DHT, LSD, PEX, upload, way in or client name')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'swarmcat;failed;help' {
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the torrents that are cooling down')
            [CompletionResult]::new('clear', 'clear', [CompletionResultType]::ParameterValue, 'Forget failures, so that the torrents are tried again')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'swarmcat;failed;help;list' {
            break
        }
        'swarmcat;failed;help;clear' {
            break
        }
        'swarmcat;failed;help;help' {
            break
        }
        'swarmcat;cleanup' {
            [CompletionResult]::new('--older-than', '--older-than', [CompletionResultType]::ParameterName, 'Only what has been idle for this long')
            [CompletionResult]::new('--peer', '--peer', [CompletionResultType]::ParameterName, 'Peer to dial whatever else is known (repeat for more)')
            [CompletionResult]::new('--tracker', '--tracker', [CompletionResultType]::ParameterName, 'Tracker to ask beside the source''s own (repeat for more)')
            [CompletionResult]::new('--dht-bootstrap', '--dht-bootstrap', [CompletionResultType]::ParameterName, 'DHT node to start from instead of the well-known ones (repeat for more)')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read settings from this file')
            [CompletionResult]::new('--temp-dir', '--temp-dir', [CompletionResultType]::ParameterName, 'Where torrents are kept while they are streamed [default: ./temp]')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where failures are remembered [default: the XDG state directory]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Form of the log on stderr [default: text]')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'Form of the progress on stderr [default: auto]')
            [CompletionResult]::new('--trackers-file', '--trackers-file', [CompletionResultType]::ParameterName, 'Trackers for the later rounds, one URL a line')
            [CompletionResult]::new('--listen-port', '--listen-port', [CompletionResultType]::ParameterName, 'TCP port for incoming peers [default: any free one]')
            [CompletionResult]::new('--peer-limit', '--peer-limit', [CompletionResultType]::ParameterName, 'Connected peers at most [default: 128]')
            [CompletionResult]::new('--download-limit', '--download-limit', [CompletionResultType]::ParameterName, 'Bytes a second down, 16KiB or more [default: no limit]')
            [CompletionResult]::new('--upload-limit', '--upload-limit', [CompletionResultType]::ParameterName, 'Bytes a second up, 16KiB or more [default: no limit]')
            [CompletionResult]::new('--proxy', '--proxy', [CompletionResultType]::ParameterName, 'SOCKS5 proxy for peers and HTTP trackers; nothing goes around it')
            [CompletionResult]::new('--bind-device', '--bind-device', [CompletionResultType]::ParameterName, 'Network device to use, such as wg0')
            [CompletionResult]::new('--min-free', '--min-free', [CompletionResultType]::ParameterName, 'Free disk to leave [default: 5 % of it, 256MiB to 4GiB]')
            [CompletionResult]::new('--max-disk', '--max-disk', [CompletionResultType]::ParameterName, 'Disk that all torrents together may take [default: no limit]')
            [CompletionResult]::new('--peer-timeout', '--peer-timeout', [CompletionResultType]::ParameterName, 'Give up when no peer was reached after [default: 60s]')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Give up when no byte came after [default: 2m]')
            [CompletionResult]::new('--stall-timeout', '--stall-timeout', [CompletionResultType]::ParameterName, 'Give up when the stream stands still for [default: 60s]')
            [CompletionResult]::new('--max-retries', '--max-retries', [CompletionResultType]::ParameterName, 'Rounds within the timeout, each with other trackers [default: 4]')
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'Say what would go, and leave it')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Say what would go, and leave it')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON for scripts')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing but errors')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v what is done, -vv how, -vvv everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v what is done, -vv how, -vvv everything')
            [CompletionResult]::new('--no-trackers', '--no-trackers', [CompletionResultType]::ParameterName, 'Ask no tracker at all')
            [CompletionResult]::new('--no-dht', '--no-dht', [CompletionResultType]::ParameterName, 'Do not use the DHT')
            [CompletionResult]::new('--lsd', '--lsd', [CompletionResultType]::ParameterName, 'Look for peers on the local network')
            [CompletionResult]::new('--no-upload', '--no-upload', [CompletionResultType]::ParameterName, 'Give nothing back to the swarm')
            [CompletionResult]::new('--ipv4-only', '--ipv4-only', [CompletionResultType]::ParameterName, 'Never use IPv6')
            [CompletionResult]::new('--private', '--private', [CompletionResultType]::ParameterName, 'No DHT, LSD, PEX, upload, way in or client name')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'swarmcat;help' {
            [CompletionResult]::new('stream', 'stream', [CompletionResultType]::ParameterValue, 'Stream one file of a torrent to stdout, a file or a player')
            [CompletionResult]::new('serve', 'serve', [CompletionResultType]::ParameterValue, 'Serve torrents over HTTP to players, TVs and scripts')
            [CompletionResult]::new('failed', 'failed', [CompletionResultType]::ParameterValue, 'Show or forget the torrents that failed recently')
            [CompletionResult]::new('cleanup', 'cleanup', [CompletionResultType]::ParameterValue, 'Remove what idle torrents left in the temp directory')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'swarmcat;help;stream' {
            break
        }
        'swarmcat;help;serve' {
            break
        }
        'swarmcat;help;failed' {
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the torrents that are cooling down')
            [CompletionResult]::new('clear', 'clear', [CompletionResultType]::ParameterValue, 'Forget failures, so that the torrents are tried again')
            break
        }
        'swarmcat;help;failed;list' {
            break
        }
        'swarmcat;help;failed;clear' {
            break
        }
        'swarmcat;help;cleanup' {
            break
        }
        'swarmcat;help;help' {
            break
        }
    })

    $completions.Where{ $_.CompletionText -like "$wordToComplete*" } |
        Sort-Object -Property ListItemText
}
