//! A command's processes: the program that was started, and all that it starts in turn.
//!
//! A signal goes to the whole process group, by its number. The number is the program's process id, which the system may
//! give to others once the program was waited for and the group is empty. So, from when the program has ended, a group
//! is signalled only as long as every look at it, one shortly after the other, found it there.

use std::{io, process::ExitStatus};

use tokio::process::{Child, Command};

#[cfg(unix)]
use rustix::process::{Pid, Signal};

/// A command's processes. Dropping it kills what is left of them.
#[derive(Debug)]
pub(super) struct Group {
    child: Child,
    #[cfg(unix)]
    id: Option<Pid>,
    gone: bool,
}

impl Group {
    /// Starts a command as the leader of a new group.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        #[cfg(unix)]
        command.process_group(0);
        let child = command.kill_on_drop(true).spawn()?;
        Ok(Self {
            #[cfg(unix)]
            id: child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)),
            child,
            gone: false,
        })
    }

    /// The program itself, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits until the program itself has ended.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Asks all processes to end.
    pub fn terminate(&mut self) {
        #[cfg(unix)]
        self.signal(Signal::TERM);
        #[cfg(not(unix))]
        self.kill();
    }

    /// Ends all processes.
    pub fn kill(&mut self) {
        #[cfg(unix)]
        self.signal(Signal::KILL);
        // Fails when the program has ended already.
        #[cfg(not(unix))]
        let _ = self.child.start_kill();
    }

    #[cfg(unix)]
    fn signal(&mut self, signal: Signal) {
        let Some(id) = self.id.filter(|_| !self.gone) else { return };
        if let Err(error) = rustix::process::kill_process_group(id, signal) {
            tracing::debug!(group = id.as_raw_nonzero().get(), ?signal, %error, "a process group was not signalled");
        }
    }

    /// Whether no process is left. To be called only after the program has been waited for.
    #[cfg(unix)]
    pub fn is_gone(&mut self) -> bool {
        use rustix::{io::Errno, process as system};
        if let Some(id) = self.id.filter(|_| !self.gone) {
            // Processes whose parent has ended become children of a gateway that is a container's first process. They count
            // as part of the group until someone waits for them.
            while let Ok(Some(_)) = system::waitpgid(id, system::WaitOptions::NOHANG) {}
            self.gone = system::test_kill_process_group(id) == Err(Errno::SRCH);
        } else {
            self.gone = true;
        }
        self.gone
    }

    /// As `is_gone`, by a closer look that takes longer: processes that have ended, and only wait for a parent that does
    /// not care, are not there. The first process of many containers is such a parent.
    pub fn has_ended(&mut self) -> bool {
        if self.is_gone() {
            return true;
        }
        #[cfg(target_os = "linux")]
        if let Some(id) = self.id
            && procfs::has_ended(id)
        {
            // A process that was just being made may have escaped the look.
            self.kill();
            self.gone = true;
        }
        self.gone
    }

    /// Whether no process is left. To be called only after the program has been waited for.
    #[cfg(not(unix))]
    pub fn is_gone(&mut self) -> bool {
        self.gone = true;
        true
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.gone {
            self.kill();
        }
    }
}

/// What the system tells of processes.
#[cfg(target_os = "linux")]
mod procfs {
    use std::fs;

    use rustix::process::Pid;

    /// Whether all processes of a group have ended; false when that cannot be found out.
    pub(super) fn has_ended(group: Pid) -> bool {
        let group = group.as_raw_nonzero().get();
        let Ok(processes) = fs::read_dir("/proc") else { return false };
        let mut processes = processes.filter_map(Result::ok);
        !processes.any(|process| {
            let is_process = process.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit);
            // One that cannot be read is no more.
            let stat = is_process.then(|| fs::read(process.path().join("stat")).ok()).flatten();
            stat.is_some_and(|stat| runs_in(&stat, group))
        })
    }

    /// Whether a process, by its `stat`, belongs to a group and has not ended: `pid (name) state parent group …`, where
    /// the name may hold anything.
    fn runs_in(stat: &[u8], group: i32) -> bool {
        let stat = String::from_utf8_lossy(stat);
        let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace();
        let (state, of) = (fields.next(), fields.nth(1));
        !matches!(state, Some("Z" | "X")) && of.and_then(|of| of.parse().ok()) == Some(group)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_process_runs_in_its_group_until_it_has_ended() {
            assert!(runs_in(b"12 (a) Z) 3 (b) S 1 77 77 0 -1", 77));
            assert!(!runs_in(b"12 (sh) Z 1 77 77 0 -1", 77));
            assert!(!runs_in(b"12 (sh) S 1 78 77 0 -1", 77));
            assert!(!runs_in(b"", 77));
        }

        #[test]
        fn a_group_that_runs_has_not_ended() {
            assert!(!has_ended(rustix::process::getpgrp()));
            assert!(has_ended(Pid::from_raw(i32::MAX).unwrap()));
        }
    }
}
