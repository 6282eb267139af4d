"""Actions of the services that policies name most (Service Authorization Reference), for near misses.

A service that is not here is not judged.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

KNOWN_ACTIONS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        service: tuple(names.split())
        for service, names in {
            "broker": """
                Authorize AuthorizeBearer IntrospectToken ListSessions ListSigningKeys RevokeSessions
                RotateSigningKeys
            """,
            "iam": """
                AcceptDelegationRequest AcquireRole AddClientIDToOpenIDConnectProvider AddRoleToInstanceProfile
                AddUserToGroup AssociateDelegationRequest AttachGroupPolicy AttachRolePolicy AttachUserPolicy
                ChangePassword CreateAccessKey CreateAccountAlias CreateDelegationRequest CreateGroup
                CreateInstanceProfile CreateLoginProfile CreateOpenIDConnectProvider CreatePolicy
                CreatePolicyVersion CreateRole CreateSAMLProvider CreateServiceLinkedRole
                CreateServiceSpecificCredential CreateUser CreateVirtualMFADevice DeactivateMFADevice
                DeleteAccessKey DeleteAccountAlias DeleteAccountPasswordPolicy DeleteCloudFrontPublicKey DeleteGroup
                DeleteGroupPolicy DeleteInstanceProfile DeleteLoginProfile DeleteOpenIDConnectProvider DeletePolicy
                DeletePolicyVersion DeleteRole DeleteRolePermissionsBoundary DeleteRolePolicy DeleteSAMLProvider
                DeleteSSHPublicKey DeleteServerCertificate DeleteServiceLinkedRole DeleteServiceSpecificCredential
                DeleteSigningCertificate DeleteUser DeleteUserPermissionsBoundary DeleteUserPolicy
                DeleteVirtualMFADevice DetachGroupPolicy DetachRolePolicy DetachUserPolicy
                DisableOrganizationsRootCredentialsManagement DisableOrganizationsRootSessions
                DisableOutboundWebIdentityFederation EnableMFADevice EnableOrganizationsRootCredentialsManagement
                EnableOrganizationsRootSessions EnableOutboundWebIdentityFederation GenerateCredentialReport
                GenerateOrganizationsAccessReport GenerateServiceLastAccessedDetails GetAccessKeyLastUsed
                GetAccountAuthorizationDetails GetAccountEmailAddress GetAccountName GetAccountPasswordPolicy
                GetAccountProperties GetAccountSummary GetCloudFrontPublicKey GetContextKeysForCustomPolicy
                GetContextKeysForPrincipalPolicy GetCredentialReport GetDelegationRequest GetGroup GetGroupPolicy
                GetHumanReadableSummary GetInstanceProfile GetLoginProfile GetMFADevice GetOpenIDConnectProvider
                GetOrganizationsAccessReport GetOutboundWebIdentityFederationInfo GetPolicy GetPolicyVersion GetRole
                GetRolePolicy GetRoleTemplateVersion GetSAMLProvider GetSSHPublicKey GetServerCertificate
                GetServiceLastAccessedDetails GetServiceLastAccessedDetailsWithEntities
                GetServiceLinkedRoleDeletionStatus GetUser GetUserPolicy ListAccessKeys ListAccountAliases
                ListAttachedGroupPolicies ListAttachedRolePolicies ListAttachedUserPolicies ListCloudFrontPublicKeys
                ListDelegationRequests ListEntitiesForPolicy ListGroupPolicies ListGroups ListGroupsForUser
                ListInstanceProfileTags ListInstanceProfiles ListInstanceProfilesForRole ListMFADeviceTags
                ListMFADevices ListOpenIDConnectProviderTags ListOpenIDConnectProviders ListOrganizationsFeatures
                ListPolicies ListPoliciesGrantingServiceAccess ListPolicyTags ListPolicyVersions ListRolePolicies
                ListRoleTags ListRoles ListSAMLProviderTags ListSAMLProviders ListSSHPublicKeys
                ListSTSRegionalEndpointsStatus ListServerCertificateTags ListServerCertificates
                ListServiceSpecificCredentials ListSigningCertificates ListUserPolicies ListUserTags ListUsers
                ListVirtualMFADevices PassRole PutAccountProperties PutGroupPolicy PutRolePermissionsBoundary
                PutRolePolicy PutUserPermissionsBoundary PutUserPolicy RejectDelegationRequest
                RemoveClientIDFromOpenIDConnectProvider RemoveRoleFromInstanceProfile RemoveUserFromGroup
                ResetServiceSpecificCredential ResyncMFADevice SendDelegationToken SetDefaultPolicyVersion
                SetSTSRegionalEndpointStatus SetSecurityTokenServicePreferences SimulateCustomPolicy
                SimulatePrincipalPolicy TagInstanceProfile TagMFADevice TagOpenIDConnectProvider TagPolicy TagRole
                TagSAMLProvider TagServerCertificate TagUser UntagInstanceProfile UntagMFADevice
                UntagOpenIDConnectProvider UntagPolicy UntagRole UntagSAMLProvider UntagServerCertificate UntagUser
                UpdateAccessKey UpdateAccountEmailAddress UpdateAccountName UpdateAccountPasswordPolicy
                UpdateAssumeRolePolicy UpdateCloudFrontPublicKey UpdateDelegationRequest UpdateGroup
                UpdateLoginProfile UpdateOpenIDConnectProviderThumbprint UpdateRole UpdateRoleDescription
                UpdateSAMLProvider UpdateSSHPublicKey UpdateServerCertificate UpdateServiceSpecificCredential
                UpdateSigningCertificate UpdateUser UploadCloudFrontPublicKey UploadSSHPublicKey
                UploadServerCertificate UploadSigningCertificate
            """,
            "kms": """
                CancelKeyDeletion ConnectCustomKeyStore CreateAlias CreateCustomKeyStore CreateGrant CreateKey
                Decapsulate Decrypt DeleteAlias DeleteCustomKeyStore DeleteImportedKeyMaterial DeriveSharedSecret
                DescribeCustomKeyStores DescribeKey DisableKey DisableKeyRotation DisconnectCustomKeyStore EnableKey
                EnableKeyRotation Encapsulate Encrypt GenerateDataKey GenerateDataKeyPair
                GenerateDataKeyPairWithoutPlaintext GenerateDataKeyWithoutPlaintext GenerateMac GenerateRandom
                GetKeyLastUsage GetKeyPolicy GetKeyRotationStatus GetParametersForImport GetPublicKey
                ImportKeyMaterial ListAliases ListGrants ListKeyPolicies ListKeyRotations ListKeys ListResourceTags
                ListRetirableGrants PutKeyPolicy ReEncryptFrom ReEncryptTo ReplicateKey RetireGrant RevokeGrant
                RotateKeyOnDemand ScheduleKeyDeletion Sign SynchronizeMultiRegionKey TagResource UntagResource
                UpdateAlias UpdateCustomKeyStore UpdateKeyDescription UpdatePrimaryRegion Verify VerifyMac
            """,
            "s3": """
                AbortMultipartUpload AssociateAccessGrantsIdentityCenter BypassGovernanceRetention CreateAccessGrant
                CreateAccessGrantsInstance CreateAccessGrantsLocation CreateAccessPoint
                CreateAccessPointForObjectLambda CreateBucket CreateBucketMetadataTableConfiguration CreateJob
                CreateMultiRegionAccessPoint CreateStorageLensGroup DeleteAccessGrant DeleteAccessGrantsInstance
                DeleteAccessGrantsInstanceResourcePolicy DeleteAccessGrantsLocation DeleteAccessPoint
                DeleteAccessPointForObjectLambda DeleteAccessPointPolicy DeleteAccessPointPolicyForObjectLambda
                DeleteBucket DeleteBucketMetadataTableConfiguration DeleteBucketPolicy DeleteBucketWebsite
                DeleteJobTagging DeleteMultiRegionAccessPoint DeleteObject DeleteObjectTagging DeleteObjectVersion
                DeleteObjectVersionTagging DeleteStorageLensConfiguration DeleteStorageLensConfigurationTagging
                DeleteStorageLensGroup DescribeJob DescribeMultiRegionAccessPointOperation
                DissociateAccessGrantsIdentityCenter GetAccelerateConfiguration GetAccessGrant
                GetAccessGrantsInstance GetAccessGrantsInstanceForPrefix GetAccessGrantsInstanceResourcePolicy
                GetAccessGrantsLocation GetAccessPoint GetAccessPointConfigurationForObjectLambda
                GetAccessPointForObjectLambda GetAccessPointPolicy GetAccessPointPolicyForObjectLambda
                GetAccessPointPolicyStatus GetAccessPointPolicyStatusForObjectLambda GetAccountPublicAccessBlock
                GetAnalyticsConfiguration GetBucketAcl GetBucketCORS GetBucketLocation GetBucketLogging
                GetBucketMetadataTableConfiguration GetBucketNotification GetBucketObjectLockConfiguration
                GetBucketOwnershipControls GetBucketPolicy GetBucketPolicyStatus GetBucketPublicAccessBlock
                GetBucketRequestPayment GetBucketTagging GetBucketVersioning GetBucketWebsite GetDataAccess
                GetEncryptionConfiguration GetIntelligentTieringConfiguration GetInventoryConfiguration
                GetJobTagging GetLifecycleConfiguration GetMetricsConfiguration GetMultiRegionAccessPoint
                GetMultiRegionAccessPointPolicy GetMultiRegionAccessPointPolicyStatus
                GetMultiRegionAccessPointRoutes GetObject GetObjectAcl GetObjectAttributes GetObjectLegalHold
                GetObjectRetention GetObjectTagging GetObjectTorrent GetObjectVersion GetObjectVersionAcl
                GetObjectVersionAttributes GetObjectVersionForReplication GetObjectVersionTagging
                GetObjectVersionTorrent GetReplicationConfiguration GetStorageLensConfiguration
                GetStorageLensConfigurationTagging GetStorageLensDashboard GetStorageLensGroup InitiateReplication
                ListAccessGrants ListAccessGrantsInstances ListAccessGrantsLocations ListAccessPoints
                ListAccessPointsForObjectLambda ListAllMyBuckets ListBucket ListBucketMultipartUploads
                ListBucketVersions ListCallerAccessGrants ListJobs ListMultiRegionAccessPoints
                ListMultipartUploadParts ListStorageLensConfigurations ListStorageLensGroups ListTagsForResource
                ObjectOwnerOverrideToBucketOwner PauseReplication PutAccelerateConfiguration
                PutAccessGrantsInstanceResourcePolicy PutAccessPointConfigurationForObjectLambda
                PutAccessPointPolicy PutAccessPointPolicyForObjectLambda PutAccessPointPublicAccessBlock
                PutAccountPublicAccessBlock PutAnalyticsConfiguration PutBucketAcl PutBucketCORS PutBucketLogging
                PutBucketNotification PutBucketObjectLockConfiguration PutBucketOwnershipControls PutBucketPolicy
                PutBucketPublicAccessBlock PutBucketRequestPayment PutBucketTagging PutBucketVersioning
                PutBucketWebsite PutEncryptionConfiguration PutIntelligentTieringConfiguration
                PutInventoryConfiguration PutJobTagging PutLifecycleConfiguration PutMetricsConfiguration
                PutMultiRegionAccessPointPolicy PutObject PutObjectAcl PutObjectLegalHold PutObjectRetention
                PutObjectTagging PutObjectVersionAcl PutObjectVersionTagging PutReplicationConfiguration
                PutStorageLensConfiguration PutStorageLensConfigurationTagging ReplicateDelete ReplicateObject
                ReplicateTags RestoreObject SubmitMultiRegionAccessPointRoutes TagResource UntagResource
                UpdateAccessGrantsLocation UpdateBucketMetadataInventoryTableConfiguration
                UpdateBucketMetadataJournalTableConfiguration UpdateJobPriority UpdateJobStatus
                UpdateStorageLensGroup
            """,
            "secretsmanager": """
                AssociateCrossAccountReplica BatchGetSecretValue CancelRotateSecret CreateSecret
                DeleteResourcePolicy DeleteSecret DescribeSecret DisassociateCrossAccountReplica GetRandomPassword
                GetResourcePolicy GetSecretValue ListResourcePolicies ListSecretVersionIds ListSecrets
                PutResourcePolicy PutSecretValue RemoveRegionsFromReplication ReplicateSecretToRegions RestoreSecret
                RotateSecret StopReplicationToReplica TagResource UntagResource UpdateSecret
                UpdateSecretVersionStage ValidateResourcePolicy
            """,
            "sns": """
                AddPermission CheckIfPhoneNumberIsOptedOut ConfirmSubscription CreatePlatformApplication
                CreatePlatformEndpoint CreateSMSSandboxPhoneNumber CreateTopic DeleteEndpoint
                DeletePlatformApplication DeleteSMSSandboxPhoneNumber DeleteTopic GetDataProtectionPolicy
                GetEndpointAttributes GetPlatformApplicationAttributes GetSMSAttributes GetSMSSandboxAccountStatus
                GetSubscriptionAttributes GetTopicAttributes ListEndpointsByPlatformApplication
                ListOriginationNumbers ListPhoneNumbersOptedOut ListPlatformApplications ListSMSSandboxPhoneNumbers
                ListSubscriptions ListSubscriptionsByTopic ListTagsForResource ListTopics OptInPhoneNumber Publish
                PutDataProtectionPolicy RemovePermission SetEndpointAttributes SetPlatformApplicationAttributes
                SetSMSAttributes SetSubscriptionAttributes SetTopicAttributes Subscribe TagResource Unsubscribe
                UntagResource VerifySMSSandboxPhoneNumber
            """,
            "sqs": """
                AddPermission CancelMessageMoveTask ChangeMessageVisibility ChangeMessageVisibilityBatch CreateQueue
                DeleteMessage DeleteMessageBatch DeleteQueue GetQueueAttributes GetQueueUrl
                ListDeadLetterSourceQueues ListMessageMoveTasks ListQueueTags ListQueues PurgeQueue ReceiveMessage
                RemovePermission SendMessage SendMessageBatch SetQueueAttributes StartMessageMoveTask TagQueue
                UntagQueue
            """,
            "sts": """
                AssumeRole AssumeRoleWithCertificate AssumeRoleWithLDAPIdentity AssumeRoleWithSAML
                AssumeRoleWithWebIdentity AssumeRoot DecodeAuthorizationMessage GetAccessKeyInfo GetCallerIdentity
                GetDelegatedAccessToken GetFederationToken GetServiceBearerToken GetSessionToken GetWebIdentityToken
                SetContext SetSourceIdentity TagGetWebIdentityToken TagSession
            """,
        }.items()
    }
)
"""Action names by service prefix, as AWS writes them; those of `broker` and some of `sts` are Sojourn's own."""
