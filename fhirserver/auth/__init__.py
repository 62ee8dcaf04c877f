"""The SMART authorization server: who signs in, what an app is given, and the tokens for it.

https://hl7.org/fhir/smart-app-launch/STU2.2/
"""
