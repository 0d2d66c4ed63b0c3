#!/bin/sh
# Builds the zkVM guests from pinned sources: crates by their lock files, compiler and standard library from Debian's packages,
# unpacked and not installed. Everything lies in one directory of a fixed name, because the paths of packages that come
# without a registry go into the names of symbols, and so into the program keys.
#
#   guests/build.sh [risc0] [sp1]            builds (without a name both), and writes NAME/*.elf.zst and NAME/*.elf.sha256
#   guests/build.sh --check [risc0] [sp1]    builds, and fails unless the results are the committed ones
set -eu

check=
guests=
for argument; do
    case $argument in
        --check) check=yes ;;
        risc0 | sp1) guests="$guests $argument" ;;
        *) echo "usage: $0 [--check] [risc0] [sp1]" >&2; exit 2 ;;
    esac
done

here=$(cd "$(dirname "$0")/.." && pwd)
base=${ENSEMBLE_GUEST_DIR:-/tmp/ensemble-guest}
rust=1.96.0+dfsg1-1~deb12u2
llvm=1:22.1.8-1~deb12u1
mbed=2.28.3-1

# Name, version, sha256.
packages="
cargo-web $rust daa5189c56b7e0895f9c89335aae3fc909272f5df332c101c80405695014b149
libclang-cpp22 $llvm 662a8497190dd6cebaee2ac9421ed9d91cb1199eeabd154eafc4b5c1ac01d4b3
libgit2-1.5 1.5.1+ds-1+deb12u2 0ff5b31dc6a86baabb60584f5cdf801c3e5e9a92ec13f4099e1b3295309b9e0a
libhttp-parser2.9 2.9.4-5 98045b047b8f3ccfdd7930983797df3e316112e1cd4d161fc793260e31183b59
libllvm22 $llvm 729ec3e943d320515c2bbdc96acfffd7ce34861e62bd5c42726bf586d644dfe2
libmbedcrypto7 $mbed af3295f80abf7e6ba2cba419134e29bde04192bf3614622ee53ce49de8d02abe
libmbedtls14 $mbed 621ddfb85c668a86d755fae7bb0f31f00d83e4456c8171f9da7445a54b04da9c
libmbedx509-1 $mbed 3377b6bedec2882b9fefeb0ef960ad4dc372939854d76adf761ba70e71d35c3b
libstd-rust-web-1.96 $rust 3755f30434ae29574c91b0beb86632bee401607b0ac35c3e52810f9a53fae0d1
libstd-rust-web-dev $rust e38dbeaaad673fc63fb47c5140cf34da271ac71c3ecafc828b762c2fb01fe77a
lld-22 $llvm 13103b3fb3195bfeade9835d3906a4cc91002010f9013d98aa1fc55b841d07b4
rust-web-llvm $rust a833d36c4a9211d801a70723b71b8cd4570c16184cbebac1374f3db9092a326b
rust-web-src $rust 9de8597c464d0a9283672973ed7e50092b49a92b95861429043fe8b57468a208
rustc-web $rust 8fefe1d6377fe4082f5a9d2a47e095e2d20319eaab9754bd2f0275155c9adf90
"

if [ ! -e "$base/toolchain/complete" ]; then
    # 69: not here, in contrast to not the same.
    if [ "$(uname -m)" != x86_64 ] || ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
        echo "the compiler comes from packages of Debian 12 for x86-64: apt-get and dpkg are needed" >&2
        exit 69
    fi
    # Package lists of our own: those of the system may be missing, and only root may fetch them.
    lists=$base/toolchain/lists
    mkdir -p "$base/toolchain/packages" "$lists/partial"
    apt_get() {
        apt-get -qq -o Dir::State::lists="$lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= "$@"
    }
    apt_get update || exit 69
    echo "$packages" | while read -r name version sum; do
        [ -n "$name" ] || continue
        (
            cd "$base/toolchain/packages"
            ls "$name"_*.deb >/dev/null 2>&1 || apt_get download "$name=$version" || exit 69
            echo "$sum  $(ls "$name"_*.deb)" | sha256sum --check --quiet
            dpkg -x "$name"_*.deb ..
        )
    done
    touch "$base/toolchain/complete"
fi

# The tracked files as they are now.
rm -rf "$base/source"
mkdir -p "$base/source"
(cd "$here" && git ls-files -z -- Cargo.toml crates guests | xargs -0 cp --parents -t "$base/source")

usr=$base/toolchain/usr
cargo_home=${CARGO_HOME:-$HOME/.cargo}

# Name, target, and flags of the compiler beside those that both have.
build() {
    name=$1 target=$2
    shift 2
    set -- -Cpasses=lower-atomic "$@" -Clink-arg=--fatal-warnings -Cpanic=abort '--cfg=getrandom_backend="custom"' \
        "--remap-path-prefix=$cargo_home/registry/src=/registry" "--remap-path-prefix=$base=/guest"
    flags=$(printf '%s\037' "$@")
    (
        cd "$base/source/guests/$name"
        env -u RUSTUP_TOOLCHAIN -u RUSTC_WRAPPER -u RUSTFLAGS \
            LD_LIBRARY_PATH="$usr/lib/x86_64-linux-gnu:$usr/lib" PATH="$usr/bin:$PATH" RUSTC="$usr/bin/rustc" \
            RUSTC_BOOTSTRAP=1 RISC0_FEATURE_bigint2=1 CARGO_INCREMENTAL=0 CARGO_TARGET_DIR="$base/target" \
            CARGO_ENCODED_RUSTFLAGS="${flags%?}" \
            "$usr/bin/cargo" build --release --locked --target "$target" -Z json-target-spec \
            -Z build-std=core,alloc,std,panic_abort,proc_macro -Z build-std-features=compiler-builtins-mem
    )

    keep guest "ensemble-guest-$name"
}

# What is committed, and the built file.
keep() {
    elf=$base/target/$(basename "$target" .json)/release/$2
    sum=$(sha256sum "$elf" | cut -d' ' -f1)
    echo "sha256 of $name/$1.elf: $sum, $(stat -c %s "$elf") bytes"
    if [ "$check" ]; then
        committed=$(cat "$here/guests/$name/$1.elf.sha256")
        [ "$sum" = "$committed" ] || { echo "the committed one is $committed" >&2; exit 1; }
        echo "it is the committed one"
    else
        zstd -19 --force --quiet "$elf" -o "$here/guests/$name/$1.elf.zst"
        chmod 644 "$here/guests/$name/$1.elf.zst"
        echo "$sum" > "$here/guests/$name/$1.elf.sha256"
    fi
}

for guest in ${guests:-risc0 sp1}; do
    case $guest in
        risc0) build risc0 riscv32im-risc0-zkvm-elf -Clink-arg=-Ttext=0x00200800 ;;
        # The flags of sp1-build. Debian's compiler does not know the target by its name.
        sp1)
            build sp1 riscv64im-succinct-zkvm-elf.json -Clink-arg=--image-base=0x78000000 \
                -Cllvm-args=-misched-prera-direction=bottomup -Cllvm-args=-misched-postra-direction=bottomup
            # What the tests of provers/sp1 check the guest's precompiles by.
            keep cases ensemble-guest-sp1-cases
            ;;
    esac
done
