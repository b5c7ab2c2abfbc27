use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::command::{isolated, run};
use crate::dir::Dir;

/// The certificates that `ovs-pki` makes, and some that it does not.
#[derive(Debug)]
pub struct Pki {
    dir: Dir,
}

/// One of the two CAs of `ovs-pki`, which is meant to sign for one of the two sides.
#[derive(Clone, Copy, Debug)]
pub enum Authority {
    /// Signs for servers here.
    Controller,
    /// Signs for clients here.
    Switch,
}

/// A key and its certificate.
#[derive(Clone, Debug)]
pub struct Certified {
    /// The key's file.
    pub private_key: PathBuf,
    /// The certificate's file.
    pub certificate: PathBuf,
}

impl Authority {
    fn name(self) -> &'static str {
        match self {
            Self::Controller => "controller",
            Self::Switch => "switch",
        }
    }
}

impl Pki {
    /// Makes both CAs.
    pub fn new() -> Result<Self> {
        let pki = Self { dir: Dir::new("pki")? };
        run(pki.ovs_pki(&["init"]))?;
        Ok(pki)
    }

    /// The directory of all files.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The certificate of a CA.
    pub fn ca_cert(&self, authority: Authority) -> PathBuf {
        self.ca_dir(authority).join("cacert.pem")
    }

    /// Makes a key with a certificate, as `ovs-pki` does by default: with a unique id in its name.
    pub fn issue(&self, name: &str, authority: Authority) -> Result<Certified> {
        run(self.ovs_pki(&["req+sign", name, authority.name()]))?;
        Ok(self.certified(name))
    }

    /// As [`issue`](Self::issue), with only the name as its common name.
    pub fn issue_for_host(&self, name: &str, authority: Authority) -> Result<Certified> {
        run(self.ovs_pki(&["-u", "req+sign", name, authority.name()]))?;
        Ok(self.certified(name))
    }

    /// As [`issue`](Self::issue), valid between two times as X.509 writes them: `20200101000000Z`.
    pub fn issue_between(
        &self,
        name: &str,
        authority: Authority,
        from: &str,
        until: &str,
    ) -> Result<Certified> {
        let certified = self.request(name)?;
        let mut sign = isolated("openssl", self.dir());
        sign.current_dir(self.ca_dir(authority));
        sign.args(["ca", "-config", "ca.cnf", "-extensions", "usr_cert", "-batch", "-notext"]);
        sign.args(["-startdate", from, "-enddate", until, "-in"])
            .arg(self.dir().join(format!("{name}-req.pem")));
        sign.arg("-out").arg(&certified.certificate);
        run(sign)?;
        Ok(certified)
    }

    /// Makes a key with a certificate of X.509 version 1, as `ovs-pki` did before 2018.
    pub fn issue_v1(&self, name: &str, authority: Authority) -> Result<Certified> {
        let certified = self.request(name)?;
        let ca = self.ca_dir(authority);
        let mut sign = isolated("openssl", self.dir());
        sign.args(["x509", "-req", "-days", "100", "-set_serial", "77", "-in"]);
        sign.arg(self.dir().join(format!("{name}-req.pem"))).arg("-CA").arg(ca.join("cacert.pem"));
        sign.arg("-CAkey").arg(ca.join("private/cakey.pem")).arg("-out").arg(&certified.certificate);
        run(sign)?;
        let mut show = isolated("openssl", self.dir());
        show.args(["x509", "-noout", "-text", "-in"]).arg(&certified.certificate);
        if !run(show)?.contains("Version: 1 ") {
            bail!("this openssl makes no certificates of version 1");
        }
        Ok(certified)
    }

    /// Makes a key with a certificate that it signed itself.
    pub fn self_signed(&self, name: &str) -> Result<Certified> {
        let certified = self.request(name)?;
        run(self.ovs_pki(&["self-sign", name]))?;
        Ok(certified)
    }

    /// Makes a CA by `openssl` alone, with SHA-512 and a key of this kind: `rsa`, `ed25519` or the name of a curve.
    pub fn openssl_ca(&self, name: &str, kind: &str) -> Result<Certified> {
        let ca = self.key(name, kind)?;
        let mut sign = isolated("openssl", self.dir());
        sign.args(["req", "-x509", "-sha512", "-days", "100", "-subj", &format!("/CN={name}"), "-key"]);
        sign.arg(&ca.private_key).arg("-out").arg(&ca.certificate);
        run(sign)?;
        Ok(ca)
    }

    /// Makes a key of this kind, with a certificate of version 3 that a CA of [`openssl_ca`](Self::openssl_ca) signs
    /// with SHA-512.
    pub fn issue_by(&self, ca: &Certified, name: &str, kind: &str) -> Result<Certified> {
        let certified = self.key(name, kind)?;
        let file = |what: &str| self.dir().join(format!("{name}-{what}"));
        let mut request = isolated("openssl", self.dir());
        request.args(["req", "-new", "-sha512", "-subj", &format!("/CN={name}"), "-key"]);
        request.arg(&certified.private_key).arg("-out").arg(file("req.pem"));
        run(request)?;
        std::fs::write(file("extensions"), "basicConstraints=CA:FALSE\n")?;
        let mut sign = isolated("openssl", self.dir());
        sign.args(["x509", "-req", "-sha512", "-days", "100", "-CAcreateserial", "-in"]).arg(file("req.pem"));
        sign.arg("-CA").arg(&ca.certificate).arg("-CAkey").arg(&ca.private_key);
        sign.arg("-extfile").arg(file("extensions")).arg("-out").arg(&certified.certificate);
        run(sign)?;
        Ok(certified)
    }

    fn key(&self, name: &str, kind: &str) -> Result<Certified> {
        let certified = self.certified(name);
        let mut generate = isolated("openssl", self.dir());
        generate.args(["genpkey", "-algorithm"]);
        match kind {
            "rsa" | "ed25519" => generate.arg(kind),
            curve => generate.args(["EC", "-pkeyopt", &format!("ec_paramgen_curve:{curve}")]),
        };
        generate.arg("-out").arg(&certified.private_key);
        run(generate)?;
        Ok(certified)
    }

    fn request(&self, name: &str) -> Result<Certified> {
        run(self.ovs_pki(&["req", name]))?;
        Ok(self.certified(name))
    }

    fn certified(&self, name: &str) -> Certified {
        let file = |what| self.dir().join(format!("{name}-{what}.pem"));
        Certified { private_key: file("privkey"), certificate: file("cert") }
    }

    fn ca_dir(&self, authority: Authority) -> PathBuf {
        self.dir().join("pki").join(format!("{}ca", authority.name()))
    }

    fn ovs_pki(&self, arguments: &[&str]) -> Command {
        let mut command = isolated("ovs-pki", self.dir());
        let dir = self.dir().display();
        command.current_dir(self.dir()).args([format!("--dir={dir}/pki"), format!("--log={dir}/pki.log")]);
        command.arg("--batch").args(arguments);
        command
    }
}
