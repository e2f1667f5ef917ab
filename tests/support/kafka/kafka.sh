#!/bin/bash
# A real Apache Kafka for tests: one KRaft node on loopback, everything in one folder.
#
#   kafka.sh start FOLDER            starts it in the background; prints host:port when it is ready.
#                                    In a folder whose broker runs: prints its address again.
#   kafka.sh stop FOLDER             stops it; quiet when nothing runs there.
#   kafka.sh topic FOLDER NAME [N]   creates a topic of N partitions (3).
#   kafka.sh prepare FOLDER          makes the settings and formats the folder, once.
#   kafka.sh run FOLDER              runs it in the foreground, in place of this script (after prepare).
#   kafka.sh classpath               resolves the jars by Maven and prints where they are.
#
# The folder then holds address, server.properties, data/, log and (from start) pid. Its ports stay
# the same over restarts. Jars come from Maven Central once; the class path is cached under build/.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=$(cd "$here/../../.." && pwd)/build/kafka
java=(java -Xmx512m -Xms128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.net.preferIPv4Stack=true
      -Dlog4j2.configurationFile="$here/log4j2.properties")

usage() {
  sed -n '2,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
}

classpath() {
  local file="$cache/classpath"
  mkdir -p "$cache"
  (
    flock 9
    if [[ ! -s $file || $here/pom.xml -nt $file ]] || ! jars_exist "$(<"$file")"; then
      mvn -q -B -f "$here/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath \
        -Dmdep.outputFile="$file.new" >&2
      mv "$file.new" "$file"
    fi
  ) 9>"$cache/lock"
  cat "$file"
}

jars_exist() {
  local jar
  local IFS=:
  for jar in $1; do [[ -f $jar ]] || return 1; done
}

free_ports() {
  python3 -c '
import socket
sockets = [socket.socket() for _ in range(2)]
for s in sockets: s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in sockets))'
}

prepare() {
  local folder=$1 broker controller
  [[ -f $folder/ready-to-run ]] && return
  mkdir -p "$folder"
  read -r broker controller < <(free_ports)
  cat >"$folder/server.properties" <<EOF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$broker,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$broker
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$folder/data
# Topics are made by name, so that a test sees a missing one.
auto.create.topics.enable=false
# Records may carry event times of any year.
log.retention.ms=-1
log.message.timestamp.before.max.ms=9223372036854775807
log.message.timestamp.after.max.ms=9223372036854775807
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
# A restart after kill -9 waits for the dead broker's session.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
EOF
  "${java[@]}" -cp "$(classpath)" kafka.tools.StorageTool format -t bWlsbHJhY2UtdGVzdHMtMQ \
    -c "$folder/server.properties" >"$folder/log" 2>&1 || { cat "$folder/log" >&2; exit 1; }
  echo "127.0.0.1:$broker" >"$folder/address"
  touch "$folder/ready-to-run"
}

run() {
  exec "${java[@]}" -cp "$(classpath)" kafka.Kafka "$1/server.properties"
}

running() {
  [[ -f $1/pid ]] && kill -0 "$(<"$1/pid")" 2>/dev/null &&
    tr '\0' ' ' <"/proc/$(<"$1/pid")/cmdline" | grep -qF "$1"
}

start() {
  local folder=$1 deadline=$((SECONDS + 60))
  if ! running "$folder"; then
    prepare "$folder"
    setsid bash "${BASH_SOURCE[0]}" run "$folder" >"$folder/log" 2>&1 </dev/null &
    echo $! >"$folder/pid"
    until grep -q 'Kafka Server started' "$folder/log"; do
      if ! kill -0 "$(<"$folder/pid")" 2>/dev/null || ((SECONDS > deadline)); then
        cat "$folder/log" >&2
        stop "$folder"
        exit 1
      fi
      sleep 0.1
    done
  fi
  cat "$folder/address"
}

stop() {
  local pid deadline=$((SECONDS + 20))
  running "$1" || { rm -f "$1/pid"; return 0; }
  pid=$(<"$1/pid")
  kill "$pid"
  while kill -0 "$pid" 2>/dev/null; do
    ((SECONDS > deadline)) && kill -9 "$pid" 2>/dev/null
    sleep 0.1
  done
  rm -f "$1/pid"
}

topic() {
  "${java[@]}" -cp "$(classpath)" org.apache.kafka.tools.TopicCommand \
    --bootstrap-server "$(<"$1/address")" --create --if-not-exists --topic "$2" --partitions "${3:-3}"
}

case "${1:-}" in
  classpath) classpath ;;
  prepare | run | start | stop)
    [[ $# -eq 2 ]] || usage
    command=$1
    mkdir -p "$2"
    "$command" "$(cd "$2" && pwd)"
    ;;
  topic)
    [[ $# -ge 3 ]] || usage
    topic "$(cd "$2" && pwd)" "$3" "${4:-3}"
    ;;
  *) usage ;;
esac
