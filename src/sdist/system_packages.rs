//! Which Debian package brings a header, a library or a tool that builds commonly miss.
//! A table, not a search: what is not here gets no hint rather than a wrong one.

/// The Debian package with the C or C++ header that `#include <header>` names.
pub fn for_header(header: &str) -> Option<&'static str> {
    HEADERS
        .iter()
        .find(|(name, _)| match name.strip_suffix('/') {
            Some(directory) => header.split('/').next() == Some(directory),
            None => header == *name || header.ends_with(&format!("/{name}")),
        })
        .map(|(_, package)| *package)
}

/// The Debian package with the library that `-l<library>`, pkg-config, Meson or CMake names.
pub fn for_library(library: &str) -> Option<&'static str> {
    let lower = library.to_ascii_lowercase();
    let bare = lower.strip_prefix("lib").unwrap_or(&lower);
    LIBRARIES.iter().find(|(name, _)| *name == lower || *name == bare).map(|(_, package)| *package)
}

/// The Debian package with the program `tool`.
pub fn for_tool(tool: &str) -> Option<&'static str> {
    let name = tool.rsplit('/').next().unwrap_or(tool);
    TOOLS.iter().find(|(known, _)| *known == name).map(|(_, package)| *package)
}

/// A trailing `/` stands for every header in that directory.
const HEADERS: &[(&str, &str)] = &[
    ("Python.h", "python3-dev (or pythonX.Y-dev of the interpreter's version)"),
    ("GL/", "libgl-dev"),
    ("ImageMagick/", "libmagickwand-dev"),
    ("MagickWand/", "libmagickwand-dev"),
    ("SDL.h", "libsdl2-dev"),
    ("SDL2/", "libsdl2-dev"),
    ("X11/", "libx11-dev"),
    ("alsa/", "libasound2-dev"),
    ("attr/", "libattr1-dev"),
    ("bluetooth/", "libbluetooth-dev"),
    ("boost/", "libboost-dev"),
    ("brotli/", "libbrotli-dev"),
    ("bzlib.h", "libbz2-dev"),
    ("cairo.h", "libcairo2-dev"),
    ("cblas.h", "libblas-dev"),
    ("cups/", "libcups2-dev"),
    ("curl/", "libcurl4-openssl-dev"),
    ("db.h", "libdb-dev"),
    ("dbus/", "libdbus-1-dev"),
    ("expat.h", "libexpat1-dev"),
    ("ffi.h", "libffi-dev"),
    ("fftw3.h", "libfftw3-dev"),
    ("ft2build.h", "libfreetype-dev"),
    ("fuse.h", "libfuse-dev"),
    ("gdal.h", "libgdal-dev"),
    ("geos_c.h", "libgeos-dev"),
    ("glib.h", "libglib2.0-dev"),
    ("gmp.h", "libgmp-dev"),
    ("graphviz/", "libgraphviz-dev"),
    ("gsl/", "libgsl-dev"),
    ("gssapi/", "libkrb5-dev"),
    ("gssapi.h", "libkrb5-dev"),
    ("hdf5.h", "libhdf5-dev"),
    ("infiniband/", "libibverbs-dev"),
    ("jpeglib.h", "libjpeg-dev"),
    ("krb5.h", "libkrb5-dev"),
    ("lapacke.h", "liblapacke-dev"),
    ("lber.h", "libldap-dev"),
    ("lcms2.h", "liblcms2-dev"),
    ("ldap.h", "libldap-dev"),
    ("leveldb/", "libleveldb-dev"),
    ("libpq-fe.h", "libpq-dev"),
    ("librdkafka/", "librdkafka-dev"),
    ("libusb-1.0/", "libusb-1.0-0-dev"),
    ("libvirt/", "libvirt-dev"),
    ("libxml/", "libxml2-dev"),
    ("libxslt/", "libxslt1-dev"),
    ("linux/", "linux-libc-dev"),
    ("lmdb.h", "liblmdb-dev"),
    ("lz4.h", "liblz4-dev"),
    ("lzma.h", "liblzma-dev"),
    ("magic.h", "libmagic-dev"),
    ("mpc.h", "libmpc-dev"),
    ("mpfr.h", "libmpfr-dev"),
    ("mpi.h", "libopenmpi-dev"),
    ("mysql.h", "default-libmysqlclient-dev"),
    ("mysql/", "default-libmysqlclient-dev"),
    ("ncurses.h", "libncurses-dev"),
    ("netcdf.h", "libnetcdf-dev"),
    ("numa.h", "libnuma-dev"),
    ("openssl/", "libssl-dev"),
    ("pcap.h", "libpcap-dev"),
    ("png.h", "libpng-dev"),
    ("portaudio.h", "portaudio19-dev"),
    ("proj.h", "libproj-dev"),
    ("pulse/", "libpulse-dev"),
    ("readline/", "libreadline-dev"),
    ("rocksdb/", "librocksdb-dev"),
    ("sasl/", "libsasl2-dev"),
    ("secp256k1.h", "libsecp256k1-dev"),
    ("sndfile.h", "libsndfile1-dev"),
    ("sodium.h", "libsodium-dev"),
    ("spatialindex/", "libspatialindex-dev"),
    ("sql.h", "unixodbc-dev"),
    ("sqlite3.h", "libsqlite3-dev"),
    ("sys/acl.h", "libacl1-dev"),
    ("systemd/", "libsystemd-dev"),
    ("tcl.h", "tcl-dev"),
    ("tiffio.h", "libtiff-dev"),
    ("tk.h", "tk-dev"),
    ("unicode/", "libicu-dev"),
    ("uuid/", "uuid-dev"),
    ("uv.h", "libuv1-dev"),
    ("webp/", "libwebp-dev"),
    ("yaml.h", "libyaml-dev"),
    ("zlib.h", "zlib1g-dev"),
    ("zmq.h", "libzmq3-dev"),
    ("zstd.h", "libzstd-dev"),
];

/// Lower-case names; a leading `lib` is optional on either side.
const LIBRARIES: &[(&str, &str)] = &[
    ("blas", "libblas-dev"),
    ("boost", "libboost-dev"),
    ("bz2", "libbz2-dev"),
    ("cairo", "libcairo2-dev"),
    ("crypto", "libssl-dev"),
    ("curl", "libcurl4-openssl-dev"),
    ("dbus-1", "libdbus-1-dev"),
    ("expat", "libexpat1-dev"),
    ("ffi", "libffi-dev"),
    ("fftw3", "libfftw3-dev"),
    ("freetype", "libfreetype-dev"),
    ("freetype2", "libfreetype-dev"),
    ("fuse", "libfuse-dev"),
    ("gdal", "libgdal-dev"),
    ("geos", "libgeos-dev"),
    ("geos_c", "libgeos-dev"),
    ("girepository-1.0", "libgirepository1.0-dev"),
    ("gobject-introspection-1.0", "libgirepository1.0-dev"),
    ("glib-2.0", "libglib2.0-dev"),
    ("gmp", "libgmp-dev"),
    ("gssapi_krb5", "libkrb5-dev"),
    ("hdf5", "libhdf5-dev"),
    ("icu-i18n", "libicu-dev"),
    ("icu-uc", "libicu-dev"),
    ("jpeg", "libjpeg-dev"),
    ("krb5", "libkrb5-dev"),
    ("lapack", "liblapack-dev"),
    ("ldap", "libldap-dev"),
    ("lzma", "liblzma-dev"),
    ("m", "libc6-dev"),
    ("mpi", "libopenmpi-dev"),
    ("mpfr", "libmpfr-dev"),
    ("mysqlclient", "default-libmysqlclient-dev"),
    ("ncurses", "libncurses-dev"),
    ("odbc", "unixodbc-dev"),
    ("openblas", "libopenblas-dev"),
    ("openssl", "libssl-dev"),
    ("pcap", "libpcap-dev"),
    ("png", "libpng-dev"),
    ("portaudio", "portaudio19-dev"),
    ("pq", "libpq-dev"),
    ("proj", "libproj-dev"),
    ("pthread", "libc6-dev"),
    ("python3", "python3-dev"),
    ("rdkafka", "librdkafka-dev"),
    ("readline", "libreadline-dev"),
    ("snappy", "libsnappy-dev"),
    ("sndfile", "libsndfile1-dev"),
    ("sodium", "libsodium-dev"),
    ("sqlite3", "libsqlite3-dev"),
    ("ssl", "libssl-dev"),
    ("systemd", "libsystemd-dev"),
    ("tiff", "libtiff-dev"),
    ("usb-1.0", "libusb-1.0-0-dev"),
    ("uv", "libuv1-dev"),
    ("virt", "libvirt-dev"),
    ("webp", "libwebp-dev"),
    ("x11", "libx11-dev"),
    ("xml2", "libxml2-dev"),
    ("libxml-2.0", "libxml2-dev"),
    ("xslt", "libxslt1-dev"),
    ("yaml", "libyaml-dev"),
    ("z", "zlib1g-dev"),
    ("zlib", "zlib1g-dev"),
    ("zmq", "libzmq3-dev"),
    ("zstd", "libzstd-dev"),
];

const TOOLS: &[(&str, &str)] = &[
    ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"),
    ("autoconf", "autoconf"),
    ("automake", "automake"),
    ("autoreconf", "autoconf"),
    ("bison", "bison"),
    ("c++", "g++"),
    ("cargo", "cargo (or a newer one from https://rustup.rs)"),
    ("cc", "gcc libc6-dev"),
    ("clang", "clang"),
    ("clang++", "clang"),
    ("cmake", "cmake"),
    ("curl-config", "libcurl4-openssl-dev"),
    ("cython", "cython3"),
    ("flex", "flex"),
    ("g++", "g++"),
    ("gcc", "gcc libc6-dev"),
    ("gdal-config", "libgdal-dev"),
    ("geos-config", "libgeos-dev"),
    ("gfortran", "gfortran"),
    ("git", "git"),
    ("go", "golang-go"),
    ("hg", "mercurial"),
    ("krb5-config", "libkrb5-dev"),
    ("ld", "binutils"),
    ("libtoolize", "libtool"),
    ("llvm-config", "llvm-dev"),
    ("m4", "m4"),
    ("make", "make"),
    ("mariadb_config", "libmariadb-dev"),
    ("mpicc", "libopenmpi-dev"),
    ("mysql_config", "default-libmysqlclient-dev"),
    ("nasm", "nasm"),
    ("ninja", "ninja-build"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("patch", "patch"),
    ("patchelf", "patchelf"),
    ("pg_config", "libpq-dev"),
    ("pkg-config", "pkg-config"),
    ("protoc", "protobuf-compiler"),
    ("rustc", "rustc (or a newer one from https://rustup.rs)"),
    ("swig", "swig"),
    ("unzip", "unzip"),
    ("x86_64-linux-gnu-g++", "g++"),
    ("x86_64-linux-gnu-gcc", "gcc libc6-dev"),
    ("xml2-config", "libxml2-dev"),
    ("xslt-config", "libxslt1-dev"),
    ("yasm", "yasm"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_by_name_and_by_directory() {
        assert_eq!(for_header("openssl/evp.h"), Some("libssl-dev"));
        assert_eq!(for_header("libfoo/yaml.h"), Some("libyaml-dev"));
        assert_eq!(for_header("my_project.h"), None);
    }

    #[test]
    fn libraries_and_tools_are_found_however_they_are_spelled() {
        assert_eq!(for_library("libpq"), Some("libpq-dev"));
        assert_eq!(for_library("OpenSSL"), Some("libssl-dev"));
        assert_eq!(for_tool("/usr/bin/cmake"), Some("cmake"));
    }
}
