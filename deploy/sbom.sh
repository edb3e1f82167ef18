#!/usr/bin/env bash
# Writes a software bill of materials in CycloneDX 1.5 on stdout: each crate that is linked into the program, with its
# version, licence, checksum and the crates it uses. Crates that only run during the build (build scripts, procedural
# macros) are not in it. The same sources give the same text.
#
#   deploy/sbom.sh --no-default-features >ssl-manager.cdx.json      the options of Cargo with which the program was built
set -euo pipefail

cd "$(dirname "$0")/.."
release=$(rustc --version | cut -d ' ' -f 2)
tree=$(cargo tree --locked --package ssl-manager --edges normal,no-proc-macro --prefix depth --format '|{p}|{l}' "$@")
awk -v release="$release" -F '|' '
    function member(key, value) { return "\"" key "\": \"" value "\"" }
    function licences(text) {
        gsub("/", " OR ", text)    # how older crates write it
        return text == "" ? "" : ", \"licenses\": [{" member("expression", text) "}]"
    }
    function component(type, ref, name, version, rest) {
        return "{" member("type", type) ", " member("bom-ref", ref) ", " member("name", name) ", " member("version", version) rest "}"
    }
    # Cargo.lock: the checksums.
    FNR == NR {
        if (split($0, pair, " = ") == 2) {
            gsub("\"", "", pair[2])
            if (pair[1] == "name") name = pair[2]
            if (pair[1] == "version") version = pair[2]
            if (pair[1] == "checksum") checksums[name "@" version] = pair[2]
        }
        next
    }
    {
        depth = $1
        split($2, words, " ")
        name = words[1]
        version = substr(words[2], 2)
        ref = name "@" version
        parents[depth] = ref
        if (depth > 0 && !seen_edge[parents[depth - 1], ref]++)
            edges[parents[depth - 1]] = edges[parents[depth - 1]] (edges[parents[depth - 1]] ? ", " : "") "\"" ref "\""
        if (seen[ref]++) next
        refs[++count] = ref
        licence = $3
        sub(/ \(\*\)$/, "", licence)
        # A crate of this project has no purl: its name may be that of another one on crates.io.
        source = ref in checksums ? ", " member("purl", "pkg:cargo/" ref) ", \"hashes\": [{" member("alg", "SHA-256") ", " member("content", checksums[ref]) "}]" : ""
        text[count] = component(count == 1 ? "application" : "library", ref, name, version, licences(licence) source)
    }
    END {
        std = "rust-std@" release
        print "{" member("bomFormat", "CycloneDX") ", " member("specVersion", "1.5") ", \"version\": 1,"
        print " \"metadata\": {\"component\": " text[1] "},"
        print " \"components\": ["
        for (number = 2; number <= count; number++) print "  " text[number] ","
        print "  " component("library", std, "rust-std", release, licences("MIT OR Apache-2.0"))
        print " ],"
        print " \"dependencies\": ["
        for (number = 1; number <= count; number++)
            print "  {" member("ref", refs[number]) ", \"dependsOn\": [" edges[refs[number]] (number == 1 ? ", \"" std "\"" : "") "]},"
        print "  {" member("ref", std) "}"
        print " ]}"
    }' Cargo.lock <(printf '%s\n' "$tree")
