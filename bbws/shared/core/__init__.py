"""What every area stands on: committing with events and an audit trail, repeats, work that is due, mails."""
