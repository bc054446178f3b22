"""What we remember of a customer: bounded, event-timed, the same for every order of arrival."""
