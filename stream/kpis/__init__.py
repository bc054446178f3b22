"""How the programme does as a whole: repurchase, retention, churn, recall, referral, participation, customer value (MISSION F5)."""
