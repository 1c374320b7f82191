#!/usr/bin/env bash
# Fetches Apache Kafka from Maven Central into target/kafka/lib: the peer that `make bench` measures beside us. What is there stays.
set -euo pipefail
cd "$(dirname "$0")/.."
version=4.3.1
kafka="$PWD/target/kafka"
[ -e "$kafka/$version.done" ] && exit 0
command -v mvn >/dev/null || { echo "scripts/kafka.sh: mvn is missing: run scripts/prerequisites.sh maven" >&2; exit 1; }
echo "fetching Kafka $version into target/kafka"
rm -rf "$kafka"
mkdir -p "$kafka"
cat > "$kafka/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>headrace</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.4</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId><version>2.25.4</version></dependency>
  </dependencies>
</project>
POM
mvn -B -ntp -q -f "$kafka/pom.xml" dependency:copy-dependencies "-DoutputDirectory=$kafka/lib" -DincludeScope=runtime
touch "$kafka/$version.done"
