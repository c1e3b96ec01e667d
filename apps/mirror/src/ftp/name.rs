//! Names that a server does not take as they are.

use super::{Connection, Fault, ignore_refusal};

impl Connection {
    /// Whether a name that ends in a space was taken as it is. pure-ftpd makes `a_` of `a `, others `a`: it
    /// would end as another file's name.
    pub(super) fn verify_name(&mut self, temp: &str) -> Result<(), Fault> {
        let Some(without) = temp.strip_suffix(' ') else {
            return Ok(());
        };
        let is_kept = match self.size(without) {
            // It tells no sizes.
            Ok(None) => return Ok(()),
            Ok(Some(_)) => false,
            Err(Fault::Refused(550..=553, _)) => self.exists(temp)?,
            Err(fault) => return Err(fault),
        };
        if is_kept {
            return Ok(());
        }
        // Both are temporary files of this program.
        ignore_refusal(self.ftp.rm(without))?;
        ignore_refusal(self.ftp.rm(format!("{without}_")))?;
        Err(Fault::Refused(
            553,
            "553 the server does not keep spaces at the end of names".to_owned(),
        ))
    }

    /// Whether the server would take the name for that of another file, without the space at its end.
    pub(super) fn is_name_of_another(&mut self, path: &str) -> Result<bool, Fault> {
        if !path.ends_with(' ') {
            return Ok(false);
        }
        if let Some(drops_spaces) = self.drops_spaces {
            return Ok(drops_spaces);
        }
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let folder = if folder.is_empty() { "/" } else { folder };
        if !self.can_enter(folder)? {
            // Nothing is there that could be taken for it.
            return Ok(false);
        }
        let drops_spaces = self.can_enter(&format!("{folder} "))?;
        self.drops_spaces = Some(drops_spaces);
        Ok(drops_spaces)
    }
}
