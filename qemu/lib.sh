# Functions shared by the scripts. Sourced by bash, never run.
#
# shellcheck shell=bash

# The repository, and the name that messages begin with.
root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd)
me=qemu/$(basename -- "$0")

say() { printf '%s: %s\n' "$me" "$*" >&2; }

die() {
	say "$@"
	exit 1
}

# Wrong usage: print the reason and the way to the help, exit with status 2.
misused() {
	say "$@"
	say "\`$me --help\` lists the options"
	exit 2
}

# Whether a program is there, or, by its whole path, a file.
have() {
	case $1 in
	/*) [[ -r $1 ]] ;;
	*) command -v -- "$1" >/dev/null 2>&1 ;;
	esac
}

# ---- what is needed -------------------------------------------------------------------------------------------------

# first_of PROGRAM-OR-FILE...: the first one that is there, else the first.
first_of() {
	local candidate
	for candidate in "$@"; do
		! have "$candidate" || break
	done
	if have "$candidate"; then echo "$candidate"; else echo "$1"; fi
}

# What it takes to boot by UEFI: the firmware, and GRUB with its modules. Distributions have them under different names.
ovmf=$(first_of /usr/share/ovmf/OVMF.fd /usr/share/edk2/ovmf/OVMF_CODE.fd /usr/share/edk2/x64/OVMF.4m.fd)
grub_mkimage=$(first_of grub-mkimage grub2-mkimage)
grub_efi=/usr/lib/grub/x86_64-efi/moddep.lst

# The syslog server of the tests. Only root's PATH contains its directory.
rsyslogd=/usr/sbin/rsyslogd

# What it takes to build the Linux of qemu/bench: headers, and the sources, which only Debian and Ubuntu have as a package.
libelf=/usr/include/libelf.h
libssl=/usr/include/openssl/ssl.h
linux_source=/usr/share/doc/linux-source

# The packages of these programs and files: Debian and Ubuntu | Fedora | Arch.
declare -A packages_of=(
	[addr2line]="binutils|binutils|binutils"
	[bc]="bc|bc|bc"
	[bison]="bison|bison|bison"
	[cc]="gcc libc6-dev|gcc glibc-devel|gcc"
	[certutil]="libnss3-tools|nss-tools|nss"
	[chromium]="chromium fonts-liberation|chromium liberation-fonts|chromium ttf-liberation"
	[cpio]="cpio|cpio|cpio"
	[flex]="flex|flex|flex"
	[gdb]="gdb|gdb|gdb"
	[git]="git|git|git"
	[gnutls-cli]="gnutls-bin|gnutls-utils|gnutls"
	["$grub_mkimage"]="grub-common|grub2-tools|grub"
	["$grub_efi"]="grub-efi-amd64-bin|grub2-efi-x64-modules|grub"
	[ip]="iproute2|iproute|iproute2"
	["$libelf"]="libelf-dev|elfutils-libelf-devel|libelf"
	["$libssl"]="libssl-dev|openssl-devel|openssl"
	["$linux_source"]="linux-source||"
	[make]="make|make|make"
	[openssl]="openssl|openssl|openssl"
	["$ovmf"]="ovmf|edk2-ovmf|edk2-ovmf"
	[qemu-system-arm]="qemu-system-arm|qemu-system-arm|qemu-system-arm"
	[qemu-system-x86_64]="qemu-system-x86|qemu-system-x86|qemu-system-x86"
	[python3]="python3|python3|python"
	["$rsyslogd"]="rsyslog|rsyslog|rsyslog"
	[shellcheck]="shellcheck|ShellCheck|shellcheck"
	[telnet]="telnet|telnet|inetutils"
	[tinyproxy]="tinyproxy-bin|tinyproxy|tinyproxy"
	[tshark]="tshark|wireshark-cli|wireshark-cli"
	[xz]="xz-utils|xz|xz"
)

# packages FIELD PROGRAM-OR-FILE...: their packages in a distribution, each once; FIELD is 1 for Debian, 2 for Fedora, 3 for Arch.
packages() {
	local field=$1 program name names found=()
	for program in "${@:2}"; do
		read -ra names <<<"$(cut -d'|' -f"$field" <<<"${packages_of[$program]}")"
		for name in "${names[@]}"; do
			[[ " ${found[*]} " == *" $name "* ]] || found+=("$name")
		done
	done
	echo "${found[*]}"
}

# install_missing PROGRAM-OR-FILE...: installs missing programs with apt-get, as root or with a sudo that needs no password. If that
# is not possible, it prints the command to type and exits.
install_missing() {
	local program missing=() packages
	for program in "$@"; do
		have "$program" || missing+=("$program")
	done
	((${#missing[@]})) || return 0

	if ! have apt-get; then
		if have dnf; then
			die "${missing[*]} missing. Type this, then start again:
    sudo dnf install $(packages 2 "${missing[@]}")"
		elif have pacman; then
			die "${missing[*]} missing. Type this, then start again:
    sudo pacman -S --needed $(packages 3 "${missing[@]}")"
		fi
		die "please install ${missing[*]}. The packages are
    on Debian and Ubuntu: $(packages 1 "${missing[@]}")
    on Fedora: $(packages 2 "${missing[@]}")
    on Arch: $(packages 3 "${missing[@]}")"
	fi
	read -ra packages <<<"$(packages 1 "${missing[@]}")"
	local apt=(apt-get)
	if ((EUID)); then
		if ! have sudo || ! sudo -n true 2>/dev/null; then
			die "${missing[*]} missing, and installing takes root. Type this, then start again:
    sudo apt-get update && sudo apt-get install -y --no-install-recommends ${packages[*]}"
		fi
		apt=(sudo -n DEBIAN_FRONTEND=noninteractive apt-get)
	fi
	say "installing with apt-get: ${packages[*]}"
	export DEBIAN_FRONTEND=noninteractive
	local install=("${apt[@]}" -q -y --no-install-recommends install "${packages[@]}")
	# A fresh machine has no package lists, an old one may have stale ones.
	if ! "${install[@]}" </dev/null >&2; then
		"${apt[@]}" -q update </dev/null >&2 || die "apt-get update failed"
		"${install[@]}" </dev/null >&2 || die "apt-get install failed"
	fi
	for program in "${missing[@]}"; do
		have "$program" || die "$program is still missing after installing $(packages 1 "$program")"
	done
}

# Rust, as recent as Cargo.toml requires. It is installed with rustup, not from here.
need_rust() {
	if ! have cargo && [[ -x ${CARGO_HOME:-${HOME:-/}/.cargo}/bin/cargo ]]; then
		PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
	fi
	local wanted found
	wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml")
	have cargo || die "Rust is not installed; install $wanted or newer (https://rustup.rs), then start again"
	found=$(cd "$root" && rustc --version | cut -d' ' -f2) || die "rustc does not run"
	if [[ $(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n1) != "$wanted" ]]; then
		die "Rust $found is too old; install $wanted or newer (https://rustup.rs), then start again"
	fi
}

# Cargo, in the repository, whatever the working directory is.
cargo_here() {
	if [[ -n ${CARGO_TARGET_DIR-} && $CARGO_TARGET_DIR != /* ]]; then
		CARGO_TARGET_DIR=$PWD/$CARGO_TARGET_DIR
		export CARGO_TARGET_DIR
	fi
	(cd "$root" && cargo "$@")
}

# ---- the engine's features ------------------------------------------------------------------------------------------

# The targets for which the engine is built. Each differs in its instruction set or its atomic operations.
targets=(thumbv7em-none-eabihf thumbv6m-none-eabi riscv32imac-unknown-none-elf x86_64-unknown-none x86_64-unknown-uefi
	aarch64-unknown-none)

# The features of the engine beside the roles.
# shellcheck disable=SC2034
features=(tls12 rsa p384 mlkem ed25519 chacha ocsp request trace tables)

# Whether Rust's core library is there for all targets.
have_targets() {
	local target libraries
	libraries=$(cd "$root" && rustc --print sysroot)/lib/rustlib
	for target in "${targets[@]}"; do
		[[ -d $libraries/$target ]] || return
	done
}

add_targets() { (cd "$root" && rustup target add "${targets[@]}"); }

# engine_with COMMAND FEATURES [ARGUMENT]...: a command of cargo's for the engine with these features alone, in a directory of its
# own, so that it need not wait for a build in cargo's.
engine_with() {
	features_directory=${features_directory-$(target_directory)/features}
	cargo_here "$1" --quiet --locked -p postern-tls --target-dir "$features_directory" --no-default-features --features "${@:2}"
}

# clippy_with FEATURES: no warnings about the engine with these features alone, for the first target.
clippy_with() { engine_with clippy "$1" --target "${targets[0]}" -- -D warnings; }

# quoted WORD...: the words as typed in a shell, quoted if necessary.
quoted() {
	local word separator=
	for word in "$@"; do
		[[ $word =~ ^[A-Za-z0-9_./:=,@%+-]+$ ]] || word=${word@Q}
		printf '%s%s' "$separator" "$word"
		separator=' '
	done
	echo
}

# Cargo's target directory.
target_directory() {
	cargo_here metadata --no-deps --offline --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'
}

# ---- the disk for UEFI ----------------------------------------------------------------------------------------------

# fill_disk DIRECTORY IMAGE [DEFCONFIG]: GRUB where the firmware looks for it, its commands, the image, the configuration.
fill_disk() {
	local disk=$1 image=$2 defconfig=${3-}
	local modules=(echo fat multiboot2 normal part_gpt part_msdos search test)
	mkdir -p "$disk/EFI/BOOT"
	# The commands built into GRUB: find the disk with the image and run its configuration.
	local commands
	commands=$(mktemp)
	cat >"$commands" <<-'END'
		search --no-floppy --file --set=root /postern.elf
		normal /grub.cfg
	END
	# Not by grub-mkstandalone: its archive contains the time of the build.
	"$grub_mkimage" -O x86_64-efi -p / -c "$commands" -o "$disk/EFI/BOOT/BOOTX64.EFI" "${modules[@]}" || die "$grub_mkimage failed"
	rm -f -- "$commands"
	cat >"$disk/grub.cfg" <<-'END'
		# Written by qemu/run and qemu/release. The image uses the first module as its configuration instead of the built-in one.
		multiboot2 /postern.elf
		if [ -f /defconfig ]; then
		    module2 /defconfig
		fi
		echo "Postern's console is the serial port; the screen shows nothing more."
		boot
	END
	cp -- "$image" "$disk/postern.elf"
	if [[ -z $defconfig ]]; then
		rm -f -- "$disk/defconfig"
	elif [[ ! $defconfig -ef $disk/defconfig ]]; then
		cp -- "$defconfig" "$disk/defconfig"
	fi
}

# ---- measurements ---------------------------------------------------------------------------------------------------

# make_keys DIRECTORY: certificates and keys for image and peer, ECDSA and RSA, unless they are there.
make_keys() {
	local kind algorithm
	for kind in ec rsa; do
		[[ ! -s $1/$kind.crt ]] || continue
		algorithm=(rsa:2048)
		[[ $kind == rsa ]] || algorithm=(ec -pkeyopt ec_paramgen_curve:P-256)
		openssl req -x509 -newkey "${algorithm[@]}" -noenc -keyout "$1/$kind.key" -out "$1/$kind.crt" -days 3650 \
			-subj /CN=localhost -addext subjectAltName=DNS:localhost 2>/dev/null || die "openssl failed"
	done
}

# build_kernel DIRECTORY: the peer's kernel as DIRECTORY/bzImage.
build_kernel() {
	local sources=(/usr/src/linux-source-*.tar.xz) build
	build=$(mktemp -d "$1/linux.XXXXXX")
	say "building $(basename "${sources[-1]}" .tar.xz), which takes some minutes"
	{
		tar -x -f "${sources[-1]}" -C "$build" --strip-components 1 &&
			cp -- "$root/benches/peer/kernel.config" "$build/.config" &&
			make -s -C "$build" olddefconfig >&2 && make -s -C "$build" -j"$(nproc)" bzImage >&2 &&
			mv -- "$build/arch/x86/boot/bzImage" "$1/bzImage"
	} || die "the peer's kernel cannot be built in $build"
	rm -rf -- "$build"
}

# build_initrd DIRECTORY: the peer's initial file system as DIRECTORY/initrd, with its program and the keys.
build_initrd() {
	local files
	files=$(mktemp -d)
	mkdir -p "$files/dev" "$files/proc" "$files/sys"
	cc -O2 -Wall -static -s -o "$files/init" "$root/benches/peer/peer.c" -lssl -lcrypto 2>/dev/null || die "the peer cannot be compiled"
	cp -- "$1"/{ec,rsa}.{crt,key} "$files"
	(cd "$files" && find . | cpio --quiet -o -H newc | gzip) >"$1/initrd" || die "the peer's initrd cannot be written"
	rm -rf -- "$files"
}

# bench_program: builds the program behind qemu/bench and qemu/profile, and prints its path.
bench_program() {
	cargo_here build --locked -p postern-bench >&2 && echo "$(target_directory)/debug/postern-bench"
}

# ---- the machine ----------------------------------------------------------------------------------------------------

# Whether KVM can be used: CPU support and access to /dev/kvm. A /dev/kvm alone proves nothing.
kvm_works() { grep -qwE 'vmx|svm' /proc/cpuinfo && [[ -r /dev/kvm && -w /dev/kvm ]]; }

# port_taken PORT: whether the port is in use, on any address of this host.
port_taken() {
	local hex
	hex=$(printf '%04X' "$1")
	cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v port="$hex" '
		$4 == "0A" && substr($2, length($2) - 3) == port { taken = 1 }
		END { exit !taken }'
}

# free_port FIRST [TAKEN...]: the first free port from FIRST on, except TAKEN.
free_port() {
	local port
	for ((port = $1; port < 65536; port++)); do
		if [[ " ${*:2} " != *" $port "* ]] && ! port_taken "$port"; then
			echo "$port"
			return
		fi
	done
	die "no free port at or above $1"
}
