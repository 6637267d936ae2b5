# As VS Code's: starts the server unless it runs, says where it listens, and holds the channel.
dir=$HOME/.vs
mkdir -p "$dir"
tree=/editors/tree/node_modules
if ! kill -0 "$(cat "$dir/pid" 2> /dev/null)" 2> /dev/null; then
    NODE_PATH=$tree setsid node "$dir/../echo.js" 8124 "$dir/sock" > "$dir/echo.log" 2>&1 < /dev/null &
    setsid node $tree/code-server/out/node/entry.js --auth none --bind-addr 127.0.0.1:8123 --user-data-dir "$dir/data" \
        --extensions-dir "$dir/extensions" --disable-telemetry --disable-update-check > "$dir/log" 2>&1 < /dev/null &
    echo $! > "$dir/pid"
fi
for _ in $(seq 600); do
    grep -q 'HTTP server listening' "$dir/log" && test -S "$dir/sock" && break
    sleep 0.1
done
echo "start pid==$(cat "$dir/pid")== listeningOn==8123== end"
while :; do sleep 5; printf ' '; done
